from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from serving.errors import InvalidRequestError, RequestTooLargeError
from serving.writes.frame import Frame

_COLUMNS: dict[str, list[Any]] = {"a": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize(
    "df",
    [
        _COLUMNS,
        {"a": {"0": 1, "1": 2}, "b": {"1": None, "0": "x"}},
        pd.DataFrame(_COLUMNS).to_dict(),
    ],
)
def test_frames_are_read_as_pandas_reads_them(df: dict[str, Any]) -> None:
    assert Frame.read(df, max_rows=2) == Frame(_COLUMNS, 2)


def test_single_value_beside_lists_holds_for_every_row() -> None:
    assert Frame.read({"a": [1, 2], "b": "x"}, max_rows=2).columns["b"] == ["x", "x"]


@pytest.mark.parametrize(
    "df",
    [{}, {"a": 1, "b": 2}, {"a": [1], "b": [1, 2]}, {"a": {"0": 1}, "b": {"1": 1}}],
)
def test_other_frames_are_refused(df: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        Frame.read(df, max_rows=9)


def test_frame_is_bounded() -> None:
    with pytest.raises(RequestTooLargeError):
        Frame.read({"a": [1, 2, 3]}, max_rows=2)
