from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from evenstore.compute.plan import (
    FileFacts,
    LateRowPolicy,
    LateRows,
    PlannedFiles,
    RunPlan,
    changed_files,
    plan_run,
)
from evenstore.compute.watermark import Watermark
from evenstore.dtypes import Dtype
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import EARLIEST_US, ExpiredValues, TtlEnforcement

_VIEW = FeatureViewSchema(
    "stats", (Field("k", Dtype.INT64),), (Field("x", Dtype.INT64),), ttl_us=10
)
_AGELESS = replace(_VIEW, ttl_us=None)
_LATER_US = 10**18
_OLD, _NEW = (1, 1), (2, 2)
_READ = FileFacts(_OLD, (0, 95))
_S = 1_000_000


def _watermark(
    event_end_us: int,
    view: FeatureViewSchema = _VIEW,
    files: Mapping[str, FileFacts] | None = None,
    created_end_us: int | None = None,
) -> Watermark:
    versions = dict.fromkeys(files or {"a": _READ}, _OLD)
    return Watermark(event_end_us, versions, view.fingerprint, 7, created_end_us)


def _plan(
    files: Mapping[str, FileFacts],
    watermark: Watermark | None,
    *,
    view: FeatureViewSchema = _VIEW,
    start_us: int = _LATER_US,
    end_us: int = 100,
    policy: LateRowPolicy | None = None,
) -> RunPlan:
    return plan_run(
        view,
        watermark,
        files,
        fingerprint=view.fingerprint,
        start_us=start_us,
        end_us=end_us,
        policy=policy or LateRowPolicy(),
    )


@pytest.mark.parametrize(
    ("watermark", "start_us", "end_us", "since_us"),
    [
        # Nothing loaded: within ttl of the end, whatever start Feast takes from the wall clock.
        (None, _LATER_US, 100, 90),
        (None, 95, 100, 90),
        (None, 20, 100, 20),
        # Loaded up to 50: what comes after, or what is asked for.
        (_watermark(50), _LATER_US, 100, 51),
        (_watermark(50), 51, 100, 51),
        (_watermark(50), 20, 100, 20),
        (_watermark(50), 60, 100, 51),
        # An earlier end than before.
        (_watermark(50), 20, 40, 20),
        # Another schema then: as if nothing were loaded.
        (_watermark(50, replace(_VIEW, ttl_us=5)), _LATER_US, 100, 90),
        (_watermark(50, replace(_VIEW, ttl_us=5)), 20, 100, 20),
    ],
)
def test_run_begins_where_something_may_be_missing(
    watermark: Watermark | None, start_us: int, end_us: int, since_us: int
) -> None:
    plan = _plan({"a": _READ}, watermark, start_us=start_us, end_us=end_us)

    assert [part.since_us for part in plan.parts] == [since_us]
    assert plan.until_us == end_us


@pytest.mark.parametrize(
    ("event_us", "start_us", "end_us"),
    [
        ((0, 50), _LATER_US, 100),  # All of it is loaded.
        ((101, 200), 0, 100),  # All of it is after the end.
        ((0, 95), 45, 40),  # Nothing is asked for.
    ],
)
def test_file_without_a_wanted_row_is_not_read(
    event_us: tuple[int, int], start_us: int, end_us: int
) -> None:
    files = {"a": FileFacts(_OLD, event_us)}

    assert _plan(files, _watermark(50), start_us=start_us, end_us=end_us).parts == ()


def test_file_whose_statistics_say_nothing_is_read() -> None:
    files = {"a": FileFacts(_OLD)}

    assert _plan(files, _watermark(50)).parts == (PlannedFiles(("a",), 51, is_unread=False),)


@pytest.mark.parametrize(
    "view",
    [
        _AGELESS,
        replace(_VIEW, ttl_enforcement=TtlEnforcement.OFF),
        replace(_VIEW, ttl_enforcement=TtlEnforcement.SHADOW),
        replace(_VIEW, expired_values=ExpiredValues.RETURN),
    ],
)
def test_first_run_loads_any_age_where_an_old_row_is_shown(view: FeatureViewSchema) -> None:
    plan = _plan({"a": _READ}, None, view=view, start_us=95)

    assert plan.parts == (PlannedFiles(("a",), EARLIEST_US),)


_FILES = {
    "apart": FileFacts(_OLD, (0, 29), (0, 29)),
    "beside": FileFacts(_OLD, (20, 40), (20, 49)),
    "unread": FileFacts(_NEW, (30, 80), (50, 80)),
}
_KNOWN = {"apart": _READ, "beside": _READ}


def test_new_file_is_read_whole_and_the_others_only_after_the_last_run() -> None:
    """Created later than every row of theirs: none can tie with one of them."""
    plan = _plan(_FILES, _watermark(50, _AGELESS, _KNOWN), view=_AGELESS)

    assert plan.parts == (PlannedFiles(("unread",), EARLIEST_US),)
    assert plan.reason == "files with late rows"


@pytest.mark.parametrize(
    "created_us", [(49, 49), (10, 80), None], ids=["edge", "around", "unknown or with nulls"]
)
def test_file_that_may_hold_ties_of_late_rows_is_read_again(
    created_us: tuple[int, int] | None,
) -> None:
    files = _FILES | {"unread": FileFacts(_NEW, (30, 80), created_us)}

    plan = _plan(files, _watermark(50, _AGELESS, _KNOWN), view=_AGELESS)

    assert plan.parts == (
        PlannedFiles(("unread",), EARLIEST_US),
        # Its rows before the first late one cannot tie; and `apart` has none after that.
        PlannedFiles(("beside",), 30, is_unread=False),
    )


def test_ties_are_looked_for_among_late_rows_only() -> None:
    """The new file's other rows are after the last run, as is all that is read of the rest."""
    files = {"a": FileFacts(_OLD, (60, 70)), "b": FileFacts(_NEW, (45, 70))}

    plan = _plan(files, _watermark(50, _AGELESS), view=_AGELESS)

    assert plan.parts == (
        PlannedFiles(("b",), EARLIEST_US),
        PlannedFiles(("a",), 51, is_unread=False),
    )


def test_expired_rows_of_a_new_file_are_not_read() -> None:
    files = {"a": FileFacts(_OLD, (0, 50)), "b": FileFacts(_NEW, (45, 70))}

    plan = _plan(files, _watermark(50))

    assert plan.parts == ()
    assert _plan(files, _watermark(50), end_us=70).parts == (PlannedFiles(("b",), 60),)


@pytest.mark.parametrize(
    ("watermark", "unread", "reason"),
    [
        (None, None, "nothing loaded yet"),
        (_watermark(50, replace(_AGELESS, name="other")), None, "the definition changed"),
        (_watermark(50, _AGELESS), (30, 70), "files with late rows"),
        (_watermark(50, _AGELESS), (70, 90), "since the last run"),
        (_watermark(50, _AGELESS), None, "since the last run"),
    ],
)
def test_plan_says_why(
    watermark: Watermark | None, unread: tuple[int, int] | None, reason: str
) -> None:
    files = {"a": _READ} | ({} if unread is None else {"b": FileFacts(_NEW, unread)})

    assert _plan(files, watermark, view=_AGELESS).reason == reason


_NOT_TOLD = "late rows of a rewritten file without a later created timestamp"
_REWRITTEN = {"a": FileFacts(_NEW, (0, 95 * _S), (0, 95 * _S))}


@pytest.mark.parametrize(
    ("policy", "part", "blind_spot"),
    [
        (LateRowPolicy(), PlannedFiles(("a",), EARLIEST_US), ""),
        (
            LateRowPolicy(LateRows.CREATED),
            PlannedFiles(("a",), 50 * _S + 1, 60 * _S),
            _NOT_TOLD,
        ),
        (
            LateRowPolicy(LateRows.CREATED, commit_lag_us=5 * _S),
            PlannedFiles(("a",), 50 * _S + 1, 55 * _S),
            f"{_NOT_TOLD}, or readable more than 5 s after it",
        ),
        (
            LateRowPolicy(LateRows.LOOK_BACK, look_back_us=20 * _S),
            PlannedFiles(("a",), 30 * _S + 1),
            "rows that came more than 20 s late into a rewritten file",
        ),
    ],
)
def test_rewritten_file_is_read_as_the_policy_says(
    policy: LateRowPolicy, part: PlannedFiles, blind_spot: str
) -> None:
    watermark = _watermark(50 * _S, _AGELESS, created_end_us=60 * _S)

    plan = _plan(_REWRITTEN, watermark, view=_AGELESS, end_us=100 * _S, policy=policy)

    assert plan.parts == (part,)
    assert plan.blind_spot == blind_spot


def test_rewritten_file_is_read_whole_where_no_created_timestamp_was_seen() -> None:
    policy = LateRowPolicy(LateRows.CREATED)

    plan = _plan(_REWRITTEN, _watermark(50, _AGELESS), view=_AGELESS, policy=policy)

    assert plan.parts == (PlannedFiles(("a",), EARLIEST_US),)
    assert plan.blind_spot == ""


def test_new_file_is_read_whole_whatever_the_policy() -> None:
    policy = LateRowPolicy(LateRows.LOOK_BACK)
    files = {"b": FileFacts(_NEW, (0, 95))}

    plan = _plan(files, _watermark(50, _AGELESS), view=_AGELESS, policy=policy)

    assert plan.parts == (PlannedFiles(("b",), EARLIEST_US),)
    assert plan.blind_spot == ""


def test_file_is_unread_when_it_is_new_or_has_changed() -> None:
    watermark = Watermark(50, {"a": (1, 1), "b": (1, 1), "gone": (1, 1)}, "f", 7)
    files = {"a": (1, 1), "b": (1, 2), "c": (1, 1)}

    assert changed_files(watermark, files) == ("b", "c")
    assert changed_files(None, files) == ("a", "b", "c")
