"""Mutants of the point-in-time join alone: the online store still answers rightly."""

from __future__ import annotations

from tests.mutants.mutant import Area, Mutant
from tests.mutants.verdict import Catcher

__all__ = ["MUTANTS"]

_ALL = frozenset(Catcher)

MUTANTS = (
    Mutant(
        name="offline-ttl-edge-exclusive",
        area=Area.OFFLINE,
        file="evenstore/offline/joined.py",
        old="pc.greater(age_us, limit_us)",
        new="pc.greater_equal(age_us, limit_us)",
        breaks="a row at the last microsecond of its ttl is expired in joins",
        expected=_ALL,
    ),
    Mutant(
        name="offline-null-before-expired",
        area=Area.OFFLINE,
        file="evenstore/offline/joined.py",
        old=(
            "[~_mask(is_found), self.is_expired, _mask(is_null)],\n"
            "            [Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE, Status.NULL_VALUE],"
        ),
        new=(
            "[~_mask(is_found), _mask(is_null), self.is_expired],\n"
            "            [Status.NOT_FOUND, Status.NULL_VALUE, Status.OUTSIDE_MAX_AGE],"
        ),
        breaks="an expired null has the status of a null",
        expected=_ALL,
    ),
    Mutant(
        name="offline-expired-values-given",
        area=Area.OFFLINE,
        file="evenstore/offline/joined.py",
        old="        if not self.is_withheld.any():\n            return found\n",
        new="        if self.is_withheld.any():\n            return found\n",
        breaks="joins give the values of expired rows",
        expected=_ALL,
    ),
    Mutant(
        name="join-excludes-the-instant",
        area=Area.SQL,
        file="evenstore/sql/point_in_time.py",
        old='in_window = f"f.{EVENT_US} between e.{SINCE_US} and e.{AS_OF_US}"',
        new='in_window = f"f.{EVENT_US} >= e.{SINCE_US} and f.{EVENT_US} < e.{AS_OF_US}"',
        breaks="a row that happened at the very instant is not seen",
        expected=_ALL,
    ),
    Mutant(
        name="join-sees-late-rows",
        area=Area.SQL,
        file="evenstore/sql/point_in_time.py",
        old='            conditions.append(f"f.{CREATED_US} <= e.{AS_OF_US}")',
        new='            conditions.append(f"f.{CREATED_US} is not null")',
        breaks="as known, rows are seen that nobody knew of yet: the leak of every backfill",
        expected=_ALL,
    ),
    Mutant(
        name="join-excludes-the-known-instant",
        area=Area.SQL,
        file="evenstore/sql/point_in_time.py",
        old='            conditions.append(f"f.{CREATED_US} <= e.{AS_OF_US}")',
        new='            conditions.append(f"f.{CREATED_US} < e.{AS_OF_US}")',
        breaks="a row that became known at the very instant is not seen",
        expected=_ALL,
    ),
    Mutant(
        name="join-tie-order-reversed",
        area=Area.SQL,
        file="evenstore/sql/point_in_time.py",
        old='f"{value} desc nulls last" for value',
        new='f"{value} asc nulls first" for value',
        breaks="of tied rows joins take the least",
        expected=_ALL,
    ),
    Mutant(
        name="join-null-wins-ties",
        area=Area.SQL,
        file="evenstore/sql/point_in_time.py",
        old='f"{value} desc nulls last" for value',
        new='f"{value} desc nulls first" for value',
        breaks="of tied rows joins take the one with a null",
        expected=_ALL,
    ),
    Mutant(
        name="fetch-of-another-file",
        area=Area.SQL,
        file="evenstore/sql/point_in_time.py",
        old='same_file = f"f.{FILE} = w.{FILE} and " if len(self.source.paths) > 1 else ""',
        new='same_file = ""',
        breaks="features are fetched from the same row of whichever file",
        expected=_ALL,
    ),
    Mutant(
        name="scattered-null-is-zero",
        area=Area.OFFLINE,
        file="evenstore/offline/scatter.py",
        old="return pa.array(scattered, integers, mask=~is_valid).cast(column.type)",
        new="return pa.array(scattered, integers, mask=~is_found).cast(column.type)",
        breaks="null numbers become 0 where rows are put in their places",
        expected=_ALL,
    ),
    Mutant(
        name="known-from-the-event-on",
        area=Area.SQL,
        file="evenstore/sql/known_rows.py",
        old='f"else greatest({EVENT_US}, {CREATED_US}) end"',
        new='f"else {EVENT_US} end"',
        breaks="what golden loads at an instant holds rows that were created later",
        expected=frozenset({Catcher.LIVE, Catcher.FROZEN}),
    ),
)
"""In the order of the table."""
