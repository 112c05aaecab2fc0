"""Mutants of what both stores share: each gives the same wrong value twice.

Comparing the two stores cannot see them; values that were frozen before, and the oracle, can.
"""

from __future__ import annotations

from tests.mutants.mutant import Area, Mutant
from tests.mutants.verdict import Catcher

__all__ = ["MUTANTS"]

_BOTH_ALIKE = frozenset({Catcher.FROZEN, Catcher.ORACLE})

MUTANTS = (
    Mutant(
        name="ttl-a-microsecond-short-on-both-sides",
        area=Area.SEMANTICS,
        file="evenstore/schema/model.py",
        old="return self.ttl_us if self.ttl_enforcement is TtlEnforcement.ENFORCE else None",
        new=(
            "return (\n"
            "            self.ttl_us - 1\n"
            "            if self.ttl_us and self.ttl_enforcement is TtlEnforcement.ENFORCE\n"
            "            else None\n"
            "        )"
        ),
        breaks="the enforced ttl excludes its own edge, in joins and lookups",
        expected=_BOTH_ALIKE | {Catcher.LIVE},
    ),
    Mutant(
        name="best-status-of-inputs",
        area=Area.SEMANTICS,
        file="evenstore/semantics.py",
        old="return max(statuses, key=_SEVERITY.index, default=Status.PRESENT)",
        new="return min(statuses, key=_SEVERITY.index, default=Status.PRESENT)",
        breaks="an on-demand output takes the best status of its inputs, not the worst",
        expected=_BOTH_ALIKE | {Catcher.LIVE},
    ),
    Mutant(
        name="null-status-of-own-value-forgotten",
        area=Area.SEMANTICS,
        file="evenstore/semantics.py",
        old="return worst_status([*inputs, Status.NULL_VALUE if is_null else Status.PRESENT])",
        new="return worst_status(inputs)",
        breaks="an on-demand output that is null by itself is PRESENT at the gateway",
        expected=frozenset({Catcher.LIVE, Catcher.FROZEN}),
    ),
    Mutant(
        name="tie-order-by-last-name-first",
        area=Area.SQL,
        file="evenstore/sql/relation.py",
        old="return tuple(sorted(view.features, key=lambda field: field.name))",
        new="return tuple(sorted(view.features, key=lambda field: field.name, reverse=True))",
        breaks="ties are decided by the last feature by name instead of the first",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="tie-order-as-declared",
        area=Area.SQL,
        file="evenstore/sql/relation.py",
        old="return tuple(sorted(view.features, key=lambda field: field.name))",
        new="return tuple(view.features)",
        breaks="ties are decided in the order of declaration, which an edit changes",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="earliest-created-wins",
        area=Area.SQL,
        file="evenstore/sql/row_order.py",
        old='packed = f"({packed} * {2**self._created_bits} + {created})"',
        new=(
            'packed = f"({packed} * {2**self._created_bits}'
            ' + {2**self._created_bits - 1} - {created})"'
        ),
        breaks="of two rows of one event the first written wins: corrections are dropped",
        expected=_BOTH_ALIKE | {Catcher.LIVE},
    ),
    Mutant(
        name="event-cut-to-milliseconds",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='if column.has_ns else f"epoch_us({quoted})"',
        new='if column.has_ns else f"epoch_ms({quoted}) * 1000"',
        breaks="event and created timestamps lose their microseconds where a source is read",
        expected=_BOTH_ALIKE | {Catcher.LIVE},
    ),
    Mutant(
        name="naive-timestamps-of-another-zone",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return _floor(f"epoch_ns({quoted})", 1000) if column.has_ns',
        new='return _floor(f"epoch_ns({quoted} - interval 1 hour)", 1000) if column.has_ns',
        breaks="timestamps without a zone are read as those of a zone an hour east of UTC",
        expected=_BOTH_ALIKE | {Catcher.LIVE},
    ),
    Mutant(
        name="seconds-truncated-before-1970",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return f"(({value} - (({value} % {unit}) + {unit}) % {unit}) // {unit})"',
        new='return f"({value} // {unit})"',
        breaks="a timestamp feature of before 1970 is a second late",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="int64-through-float64",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return f"cast({quoted} as {sql_type(field.dtype)})"',
        new=(
            "through = f'cast({quoted} as double)' if field.dtype is Dtype.INT64 else quoted\n"
            '        return f"try_cast({through} as {sql_type(field.dtype)})"'
        ),
        breaks="whole numbers beyond 2^53 are rounded, join keys among them",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="float64-as-float32",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='"Float64": "double",',
        new='"Float64": "float",',
        breaks="Float64 keeps the digits of Float32",
        expected=frozenset(),
        stops=True,
    ),
    Mutant(
        name="null-number-is-zero",
        area=Area.SQL,
        file="evenstore/schema/values.py",
        old="    return values.cast(arrow_type(dtype, values.type))\n",
        new=(
            "    if pa.types.is_integer(values.type):\n"
            "        values = values.fill_null(0)\n"
            "    return values.cast(arrow_type(dtype, values.type))\n"
        ),
        breaks="a null whole number becomes 0",
        expected=_BOTH_ALIKE | {Catcher.LIVE},
    ),
    Mutant(
        name="empty-list-is-null",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return f"cast({quoted} as {sql_type(field.dtype)})"',
        new=(
            "cast = f'cast({quoted} as {sql_type(field.dtype)})'\n"
            "        return f'case when len({cast}) > 0 then {cast} end'"
            " if field.dtype.is_list else cast"
        ),
        breaks="an empty list becomes null",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="list-elements-sorted",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return f"cast({quoted} as {sql_type(field.dtype)})"',
        new=(
            "cast = f'cast({quoted} as {sql_type(field.dtype)})'\n"
            "        return f'list_sort({cast})' if field.dtype.is_list else cast"
        ),
        breaks="the elements of lists are sorted",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="pruned-by-a-second-too-much",
        area=Area.SQL,
        file="evenstore/sql/relation.py",
        old="_timestamp_text(until_us + _US_PER_S)",
        new="_timestamp_text(until_us - _US_PER_S)",
        breaks="rows of the last second before an instant are not read",
        expected=_BOTH_ALIKE | {Catcher.LIVE},
    ),
    Mutant(
        name="on-demand-inputs-rounded",
        area=Area.SEMANTICS,
        file="evenstore/schema/on_demand.py",
        old="        columns = {name: list(values) for name, values in inputs.items()}\n",
        new=(
            "        columns = {\n"
            "            name: [round(v, 0) if isinstance(v, float) else v for v in values]\n"
            "            for name, values in inputs.items()\n"
            "        }\n"
        ),
        breaks="an on-demand function sees floats rounded to whole numbers, on both sides",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="texts-normalised",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return f"cast({quoted} as {sql_type(field.dtype)})"',
        new=(
            "cast = f'cast({quoted} as {sql_type(field.dtype)})'\n"
            "        return f'nfc_normalize({cast})' if field.dtype is Dtype.STRING else cast"
        ),
        breaks="texts that look alike become one: two products of a source are the same",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="nan-is-null",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return f"cast({quoted} as {sql_type(field.dtype)})"',
        new=(
            "cast = f'cast({quoted} as {sql_type(field.dtype)})'\n"
            "        is_float = field.dtype in {Dtype.FLOAT32, Dtype.FLOAT64}\n"
            "        return f\"nullif({cast}, 'nan')\" if is_float else cast"
        ),
        breaks="NaN becomes null, as pandas has it",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="false-is-null",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return f"cast({quoted} as {sql_type(field.dtype)})"',
        new=(
            "cast = f'cast({quoted} as {sql_type(field.dtype)})'\n"
            "        return f'nullif({cast}, false)' if field.dtype is Dtype.BOOL else cast"
        ),
        breaks="a flag that is not set becomes null",
        expected=_BOTH_ALIKE,
    ),
    Mutant(
        name="seconds-rounded",
        area=Area.SQL,
        file="evenstore/sql/types.py",
        old='return f"make_timestamptz({_floor(instant_us, 1_000_000)} * 1000000)"',
        new=(
            "return f\"make_timestamptz({_floor(f'({instant_us} + 500000)', 1_000_000)}"
            ' * 1000000)"'
        ),
        breaks="timestamp features are rounded to the nearest second, not floored",
        expected=_BOTH_ALIKE,
    ),
)
"""In the order of the table."""
