"""The total order of feature rows as one number per row, so that the greatest row is a maximum.

Event timestamp, then created timestamp (null lowest), then position in the files, packed into one
integer. Two rows that tie on both timestamps differ in their positions only: taken once with the
position added and once with it subtracted, two maxima give the greatest and the least position
among the tied, and a tie shows where they differ. Which of the tied rows wins is decided by content
(`build_content_order`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import (
    CREATED_US,
    EVENT_US,
    FILE,
    FILE_ROW,
    GREATEST,
    IS_TIED,
    LEAST,
)
from evenstore.sql.scan import build_scan_sql
from evenstore.sql.types import build_instant_us

__all__ = ["RowBounds", "RowOrder", "build_content_order", "build_row_bounds_sql"]

_BIGINT_BITS = 63
_HUGEINT_BITS = 127
_FLOATS = frozenset({Dtype.FLOAT32, Dtype.FLOAT64})
_FLOAT_LISTS = frozenset({Dtype.FLOAT32_LIST, Dtype.FLOAT64_LIST})


@dataclass(frozen=True, slots=True)
class RowBounds:
    """What Parquet statistics say of a source's rows.

    Attributes:
        n_files: Number of files.
        n_rows: Number of rows.
        event_us: Earliest and latest event timestamp, microseconds; None without rows.
        created_us: Earliest and latest created timestamp, microseconds; None where all are null.
    """

    n_files: int
    n_rows: int
    event_us: tuple[int, int] | None
    created_us: tuple[int, int] | None


def build_content_order(content: Iterable[tuple[str, Dtype]]) -> tuple[str, ...]:
    """Build what rows that tie on both timestamps are ordered by, null lowest.

    The values themselves, then the signs of their zeros: 0.0 and -0.0 are equal in value, yet one
    of them has to win always. -0.0 is the lower one.

    Args:
        content: The features by name, as expressions with their types.

    Returns:
        Expressions; all ascending with nulls first, or all descending with nulls last.
    """
    columns = tuple(content)
    values = [value for value, _ in columns]
    signs = [_zero_sign(value, dtype) for value, dtype in columns if _has_float(dtype)]
    return (*values, *signs)


def _has_float(dtype: Dtype) -> bool:
    # What is inside a map is not declared.
    return "Float" in dtype.value or dtype.holds_map


def _zero_sign(value: str, dtype: Dtype) -> str:
    if dtype in _FLOATS:
        return f"not signbit({value})"
    if dtype in _FLOAT_LISTS:
        return f"list_transform({value}, lambda x: not signbit(x))"
    # The texts of values that are equal first differ at a minus, which is less than any digit.
    return f"cast({value} as varchar)"


def build_row_bounds_sql(source: SourceFiles) -> str:
    """Build the query of `RowBounds`; DuckDB answers it from the files' statistics.

    Shapes:
        out: one row x (number of rows, earliest and latest event timestamp, earliest and latest
            created timestamp); int64, timestamps in microseconds.
    """
    bounds = ["count(*) as n_rows"]
    instants = []
    for role, column in (("event", source.event), ("created", source.created)):
        for bound in ("min", "max"):
            name = f"{bound}_{role}"
            if column is None:
                instants.append("cast(null as bigint)")
                continue
            bounds.append(f"{bound}({quote_identifier(column.name)}) as {name}")
            instants.append(build_instant_us(TimestampColumn(name, has_ns=column.has_ns)))
    selected = ",\n  ".join(bounds)
    converted = ",\n  ".join(["n_rows", *instants])
    return f"""\
select
  {converted}
from (
select
  {selected}
from {build_scan_sql(source)}
)"""


class RowOrder:
    """Packs and unpacks the order of rows whose bounds are known.

    Args:
        bounds: Of all rows that are compared.
    """

    def __init__(self, bounds: RowBounds) -> None:
        self._row_bits = bounds.n_rows.bit_length()
        self._position_bits = self._row_bits + (bounds.n_files - 1).bit_length()
        self._event_from, event_bits = _span(bounds.event_us, n_reserved=0)
        # Zero is for null.
        self._created_from, self._created_bits = _span(bounds.created_us, n_reserved=1)
        n_bits = self._position_bits + event_bits + self._created_bits
        self._type = "bigint" if n_bits <= _BIGINT_BITS else "hugeint"
        self._is_packed = n_bits <= _HUGEINT_BITS

    @property
    def greatest(self) -> str:
        """The maximum that holds the winner and the greatest position among its ties."""
        return f"max({self._signed('+')})"

    @property
    def least(self) -> str:
        """The maximum that holds the winner and the least position among its ties."""
        return f"max({self._signed('-')})"

    def unpacked(self) -> str:
        """Build the selected columns `_event_us`, `_file`, `_file_row`, `_is_tied`.

        They are made of the columns `_greatest` and `_least`.
        """
        # Shifts and masks: DuckDB divides 128-bit integers a hundred times slower.
        row_mask, position_mask = 2**self._row_bits - 1, 2**self._position_bits - 1
        if self._is_packed:
            greatest = f"({GREATEST} & {position_mask})"
            least = f"({GREATEST} - {greatest} - {LEAST})"
            event = f"({GREATEST} >> {self._position_bits + self._created_bits})"
            event = f"{event} + {self._event_from}"
        else:
            greatest, least, event = f"{GREATEST}[3]", f"-{LEAST}[3]", f"{GREATEST}[1]"
        return f"""\
  ({event})::bigint as {EVENT_US},
  {greatest}::bigint >> {self._row_bits} as {FILE},
  {greatest}::bigint & {row_mask} as {FILE_ROW},
  {greatest} <> {least} as {IS_TIED}"""

    def _signed(self, sign: str) -> str:
        position = f"({FILE} * {2**self._row_bits} + {FILE_ROW})"
        if not self._is_packed:
            return f"row({EVENT_US}, coalesce({CREATED_US}, {-(2**63)}), {sign}{position})"
        packed = f"({EVENT_US}::{self._type} - {self._event_from})"
        if self._created_bits:
            created = f"coalesce({CREATED_US}::{self._type} - {self._created_from - 1}, 0)"
            packed = f"({packed} * {2**self._created_bits} + {created})"
        return f"{packed} * {2**self._position_bits} {sign} {position}"


def _span(bounds_us: tuple[int, int] | None, *, n_reserved: int) -> tuple[int, int]:
    """Return the least value and the bits that a value's distance from it needs."""
    if bounds_us is None:
        return 0, 0
    least, greatest = bounds_us
    return least, (greatest - least + n_reserved).bit_length()
