from __future__ import annotations

import pytest

from evenstore.errors import ConfigurationError
from parity.live.promise import parse_promise
from parity.live.watermarks import seen_until


def test_rows_are_seen_up_to_the_watermark_or_to_what_online_has_already() -> None:
    until = seen_until(
        {"a": 100, "never": None, "hidden": 50},
        {"a": [None, 90, 100, 130], "never": [None] * 4},
        n_rows=4,
    )
    assert until == {"a": [100, 100, 100, 130], "hidden": [50] * 4}


@pytest.mark.parametrize(
    ("text", "promise_us"),
    [(None, None), ("90s", 90_000_000), ("1d12h", 129_600_000_000), ("15m", 900_000_000)],
)
def test_promise_is_a_duration(text: str | None, promise_us: int | None) -> None:
    assert parse_promise("activity", text) == promise_us


@pytest.mark.parametrize("text", ["", "2", "2 h", "-2h", "two hours"])
def test_promise_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="activity: tag `freshness_promise`"):
        parse_promise("activity", text)
