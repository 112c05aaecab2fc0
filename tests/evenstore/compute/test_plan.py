from __future__ import annotations

from dataclasses import replace

import pytest

from evenstore.compute.plan import changed_files, plan_run
from evenstore.compute.watermark import Watermark
from evenstore.dtypes import Dtype
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import EARLIEST_US, ExpiredValues, TtlEnforcement

_VIEW = FeatureViewSchema(
    "stats", (Field("k", Dtype.INT64),), (Field("x", Dtype.INT64),), ttl_us=10
)
_LATER_US = 10**18


def _watermark(event_end_us: int, view: FeatureViewSchema = _VIEW) -> Watermark:
    return Watermark(event_end_us, {"a": (1, 1)}, view.fingerprint, 7)


@pytest.mark.parametrize(
    ("watermark", "start_us", "end_us", "unread_us", "since_us"),
    [
        # Nothing loaded: within ttl of the end, whatever start Feast takes from the wall clock.
        (None, _LATER_US, 100, None, 90),
        (None, 95, 100, None, 90),
        (None, 20, 100, None, 20),
        # Loaded up to 50: what comes after, or what is asked for.
        (_watermark(50), _LATER_US, 100, None, 51),
        (_watermark(50), 51, 100, None, 51),
        (_watermark(50), 20, 100, None, 20),
        (_watermark(50), 60, 100, None, 51),
        # Files with late rows, and files whose rows are all new.
        (_watermark(50), _LATER_US, 100, 30, 30),
        (_watermark(50), _LATER_US, 100, 51, 51),
        (_watermark(50), _LATER_US, 100, 70, 51),
        (_watermark(50), 20, 100, 30, 20),
        # An earlier end than before, and an end in the past of everything.
        (_watermark(50), 20, 40, None, 20),
        (_watermark(50), 45, 40, None, 45),
        # Another schema then: as if nothing were loaded.
        (_watermark(50, replace(_VIEW, ttl_us=5)), _LATER_US, 100, None, 90),
        (_watermark(50, replace(_VIEW, ttl_us=5)), 20, 100, 60, 20),
    ],
)
def test_run_begins_where_something_may_be_missing(
    watermark: Watermark | None, start_us: int, end_us: int, unread_us: int | None, since_us: int
) -> None:
    plan = plan_run(
        _VIEW,
        watermark,
        fingerprint=_VIEW.fingerprint,
        start_us=start_us,
        end_us=end_us,
        earliest_unread_us=unread_us,
    )

    assert (plan.since_us, plan.until_us) == (since_us, end_us)


@pytest.mark.parametrize(
    "view",
    [
        replace(_VIEW, ttl_us=None),
        replace(_VIEW, ttl_enforcement=TtlEnforcement.OFF),
        replace(_VIEW, ttl_enforcement=TtlEnforcement.SHADOW),
        replace(_VIEW, expired_values=ExpiredValues.RETURN),
    ],
)
def test_first_run_loads_any_age_where_an_old_row_is_shown(view: FeatureViewSchema) -> None:
    plan = plan_run(
        view, None, fingerprint=view.fingerprint, start_us=95, end_us=100, earliest_unread_us=None
    )

    assert plan.since_us == EARLIEST_US


@pytest.mark.parametrize(
    ("watermark", "unread_us", "reason"),
    [
        (None, None, "nothing loaded yet"),
        (_watermark(50, replace(_VIEW, name="other")), None, "the schema changed"),
        (_watermark(50), 30, "files with late rows"),
        (_watermark(50), 70, "since the last run"),
    ],
)
def test_plan_says_why(watermark: Watermark | None, unread_us: int | None, reason: str) -> None:
    plan = plan_run(
        _VIEW,
        watermark,
        fingerprint=_VIEW.fingerprint,
        start_us=90,
        end_us=100,
        earliest_unread_us=unread_us,
    )

    assert plan.reason == reason


def test_file_is_unread_when_it_is_new_or_has_changed() -> None:
    watermark = Watermark(50, {"a": (1, 1), "b": (1, 1), "gone": (1, 1)}, "f", 7)
    files = {"a": (1, 1), "b": (1, 2), "c": (1, 1)}

    assert changed_files(watermark, files) == ("b", "c")
    assert changed_files(None, files) == ("a", "b", "c")
