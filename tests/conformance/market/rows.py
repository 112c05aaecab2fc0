"""The market's feature tables, with a row for every way in which stock Feast answers wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["BIG", "EXPIRED", "KEYS", "PAIRS", "Profile", "write_market", "write_profiles"]

BIG = 2**53 + 1
"""The first integer that float64 rounds."""

EXPIRED = "old@x"
_ABSENT, _TIED = "nobody@x", "tied@x"
# One name in two Unicode forms: two buyers.
_NFC, _NFD = "zo\u00eb@x", "zoe\u0308@x"
KEYS = ("ann@x", "bob@x", EXPIRED, _TIED, _NFC, _NFD, "", "ann@x", _ABSENT)
PAIRS = (("ann@x", 1), ("bob@x", 1), ("bob@x", -(2**63)), (_ABSENT, 1))

Profile = tuple[str, datetime, str | None, int | None, float | None, list[str] | None]
"""Key, instant, name, points, score, likes."""

_STAMP = pa.timestamp("us", "UTC")
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def write_market(data: Path, now: datetime) -> None:
    """Write all tables; the newest row of each is one hour before `now`."""
    rows: list[Profile] = [
        ("ann@x", now - 2 * _DAY, "before", 1, 0.5, ["early"]),
        ("ann@x", now - _HOUR, "Ann", BIG, 0.1, ["tea", ""]),
        ("bob@x", now - 3 * _HOUR, None, None, float("nan"), None),
        (EXPIRED, now - 40 * _DAY, "Old", 7, 1.5, []),
        (_TIED, now - _HOUR, "Tied", 4, 4.0, None),
        (_TIED, now - _HOUR, "Tied", 9, 9.0, None),
        (_TIED, now - _HOUR, "Tied", 2, 2.0, None),
        (_NFC, now - _HOUR, "composed", 1, 1.0, None),
        (_NFD, now - _HOUR, "decomposed", 2, float("inf"), None),
        ("", now - _HOUR, "a\0b \U0001f600", -(2**63), -0.0, ["\u00e9"]),
    ]
    write_profiles(data, "first", rows)
    emails, sellers = zip(*PAIRS[:-1], strict=True)
    _write(
        data / "dealings" / "rows.parquet",
        email=pa.array(emails),
        seller_id=pa.array(sellers, pa.int64()),
        n_orders=pa.array([1, 2, 3], pa.int32()),
        spend=pa.array([0.1, 2.5, None], pa.float32()),
        event_timestamp=pa.array([now - _HOUR, now - 400 * _DAY, now - _HOUR], _STAMP),
    )
    _write(
        data / "shelves" / "rows.parquet",
        seller_id=pa.array([1, 1], pa.int64()),
        shelf_no=pa.array([1, -1], pa.int32()),
        n_orders=pa.array([5, 6], pa.int32()),
        at=pa.array([now - _HOUR, now - _HOUR], _STAMP),
    )
    _write(
        data / "market" / "rows.parquet",
        n_buyers=pa.array([3, 4], pa.int64()),
        event_timestamp=pa.array([now - _DAY, now - _HOUR], _STAMP),
    )


def write_profiles(
    data: Path,
    name: str,
    rows: Sequence[Profile],
    *,
    written: datetime | None = None,
) -> None:
    """Write one file of profiles, `written` at its rows' instants if not told otherwise."""
    emails, at, names, points, scores, likes = (list(column) for column in zip(*rows, strict=True))
    _write(
        data / "profiles" / f"{name}.parquet",
        email=pa.array(emails),
        at=pa.array(at, _STAMP),
        written=pa.array([written or instant for instant in at], _STAMP),
        full_name=pa.array(names, pa.string()),
        points=pa.array(points, pa.int64()),
        score=pa.array(scores, pa.float64()),
        likes=pa.array(likes, pa.list_(pa.string())),
        seen=pa.array([instant + timedelta(microseconds=250_000) for instant in at], _STAMP),
        is_kept=pa.array([value is None for value in points]),
        photo=pa.array([b"\x00\xff" for _ in rows]),
    )


def _write(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
