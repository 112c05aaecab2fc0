"""Mutants of materialization and of the codec's writing half: what reaches Redis is wrong."""

from __future__ import annotations

from tests.mutants.mutant import Area, Mutant
from tests.mutants.verdict import Catcher

__all__ = ["MUTANTS"]

_ONLINE = frozenset({Catcher.LIVE, Catcher.FROZEN})

MUTANTS = (
    Mutant(
        name="late-rows-of-new-files-dropped",
        area=Area.MATERIALIZATION,
        file="evenstore/compute/plan.py",
        old="unread = [PlannedFiles(new, from_scratch_us), again]",
        new="unread = [PlannedFiles(new, since_us), again]",
        breaks="an incremental run ignores rows of new files that are older than its watermark",
        expected=_ONLINE,
    ),
    Mutant(
        name="run-excludes-the-ttl-edge",
        area=Area.MATERIALIZATION,
        file="evenstore/semantics.py",
        old="return EARLIEST_US if ttl_us is None else as_of_us - ttl_us",
        new="return EARLIEST_US if ttl_us is None else as_of_us - ttl_us + 1",
        breaks="a first run leaves out rows at the last microsecond of their ttl",
        expected=_ONLINE,
    ),
    Mutant(
        name="run-excludes-its-end",
        area=Area.MATERIALIZATION,
        file="evenstore/sql/newest.py",
        old='return f"{since} and {EVENT_US} <= {self._until_us}"',
        new='return f"{since} and {EVENT_US} < {self._until_us}"',
        breaks="a run leaves out rows of its very end",
        expected=_ONLINE,
    ),
    Mutant(
        name="watermark-one-second-ahead",
        area=Area.MATERIALIZATION,
        file="evenstore/compute/plan.py",
        old=(
            "    if start_us > _REPAIR_US and watermark.covers(start_us):\n"
            "        return watermark.event_end_us + 1\n"
        ),
        new=(
            "    if start_us > _REPAIR_US and watermark.covers(start_us):\n"
            "        return watermark.event_end_us + 1_000_000\n"
        ),
        breaks="an incremental run skips a second of the files that it has read before",
        expected=frozenset(),
        why=(
            "each step of a golden run loads a new file with what became known, and files that "
            "were read before hold no later rows; the property tests of materialization see it"
        ),
    ),
    Mutant(
        name="run-null-wins-ties",
        area=Area.MATERIALIZATION,
        file="evenstore/sql/newest.py",
        old='            f"{value} desc nulls last"\n',
        new='            f"{value} desc nulls first"\n',
        breaks="of tied rows a run loads the one with a null",
        expected=_ONLINE,
    ),
    Mutant(
        name="run-tie-by-position",
        area=Area.MATERIALIZATION,
        file="evenstore/sql/newest.py",
        old="min(hash({content})) <> max(hash({content})) as {IS_TIED}",
        new="min(hash({content})) < min(hash({content})) as {IS_TIED}",
        breaks="of tied rows a run loads the one that is last in the files",
        expected=_ONLINE,
    ),
    Mutant(
        name="write-order-ignores-created",
        area=Area.CODEC,
        file="evenstore/codec/packed_encoder.py",
        old="sortable_matrix(instants.created_us - event_us, instants.is_created_null)",
        new="sortable_matrix(event_us - instants.created_us, instants.is_created_null)",
        breaks="of two rows of one event the one created first stays: corrections are dropped",
        expected=_ONLINE,
    ),
    Mutant(
        name="integer-width-off-by-one",
        area=Area.CODEC,
        file="evenstore/codec/packed_encoder.py",
        old="codes = (magnitudes >= 1 << 7).astype(np.uint8)",
        new="codes = (magnitudes > 1 << 7).astype(np.uint8)",
        breaks="128 and -129 are stored in one byte",
        expected=_ONLINE,
    ),
    Mutant(
        name="least-integer-has-no-magnitude",
        area=Area.CODEC,
        file="evenstore/codec/packed_encoder.py",
        old="magnitudes = numbers ^ (numbers >> 63)",
        new="magnitudes = np.abs(numbers)",
        breaks="-2^63, whose absolute value is itself, is stored in one byte",
        expected=_ONLINE,
    ),
    Mutant(
        name="stored-null-number-is-zero",
        area=Area.CODEC,
        file="evenstore/codec/packed_encoder.py",
        old=(
            "        if column.null_count:\n"
            "            is_null[:, i] = column.is_null().to_numpy(zero_copy_only=False)"
        ),
        new=(
            "        if column.null_count and not pa.types.is_integer(column.type):\n"
            "            is_null[:, i] = column.is_null().to_numpy(zero_copy_only=False)"
        ),
        breaks="a null whole number is stored as what lies in its place",
        expected=_ONLINE,
    ),
    Mutant(
        name="null-bits-in-other-order",
        area=Area.CODEC,
        file="evenstore/codec/packed_encoder.py",
        old='bits = np.packbits(is_null, axis=1, bitorder="little")[:, :width]',
        new='bits = np.packbits(is_null, axis=1, bitorder="big")[:, :width]',
        breaks="the null bits are written highest first and read lowest first",
        expected=_ONLINE,
    ),
    Mutant(
        name="wrong-column-written",
        area=Area.CODEC,
        file="evenstore/codec/packed_encoder.py",
        old="columns = [rows.features[self._positions[field.name]] for field in fields]",
        new=(
            "columns = [rows.features[self._positions[field.name]] for field in fields]\n"
            "        floats = [i for i, f in enumerate(fields) if f.dtype is Dtype.FLOAT64]\n"
            "        for i, j in zip(floats, floats[::-1], strict=True):\n"
            "            columns[i] = rows.features[self._positions[fields[j].name]]"
        ),
        breaks="two features of one type are written in each other's place",
        expected=_ONLINE,
    ),
    Mutant(
        name="floats-written-through-float32",
        area=Area.CODEC,
        file="evenstore/codec/value_cells.py",
        old="    return byte_matrix(number_array(column))\n",
        new=(
            "    numbers = number_array(column)\n"
            "    return byte_matrix(numbers.astype(np.float32).astype(numbers.dtype))\n"
        ),
        breaks="floats are narrowed on their way to Redis",
        expected=_ONLINE,
    ),
    Mutant(
        name="length-254-in-one-byte",
        area=Area.CODEC,
        file="evenstore/codec/packed_row.py",
        old="    if length < LENGTH_U16:\n        return bytes([length])\n",
        new="    if length <= LENGTH_U16:\n        return bytes([length])\n",
        breaks="a value of 254 bytes has the length of a longer one",
        expected=_ONLINE,
    ),
    Mutant(
        name="long-length-big-endian",
        area=Area.CODEC,
        file="evenstore/codec/packed_row.py",
        old='return bytes([LENGTH_U16]) + length.to_bytes(2, "little")',
        new='return bytes([LENGTH_U16]) + length.to_bytes(2, "big")',
        breaks="lengths of two bytes are written the other way round",
        expected=_ONLINE,
    ),
    Mutant(
        name="varint-of-six-bits",
        area=Area.CODEC,
        file="evenstore/codec/cells.py",
        old="_SEVEN_BITS = np.uint64(0x7F)",
        new="_SEVEN_BITS = np.uint64(0x3F)",
        breaks="every seventh bit of list elements is lost",
        expected=_ONLINE,
    ),
    Mutant(
        name="written-key-order-swapped",
        area=Area.CODEC,
        file="evenstore/codec/key_cells.py",
        old="_part_cells(part, columns[part.position])",
        new="_part_cells(part, columns[encoder.parts.index(part)])",
        breaks="a composite key is written in the order of declaration, and read by names",
        expected=_ONLINE,
        stops=True,
    ),
    Mutant(
        name="key-order-reversed-on-both-ends",
        area=Area.CODEC,
        file="evenstore/codec/entity_key.py",
        old="return sorted(stored, key=lambda item: item[1].name)",
        new="return sorted(stored, key=lambda item: item[1].name, reverse=True)",
        breaks="composite keys have other bytes than those of a store that exists",
        expected=frozenset(),
        why=(
            "golden fills a store of its own with the same code that reads it; the codec's golden "
            "bytes see it"
        ),
    ),
    Mutant(
        name="last-write-wins",
        area=Area.ONLINE,
        file="evenstore/online/write_packed.lua",
        old="      if not is_greater(row, stored) then return nil end\n",
        new="",
        breaks="a write replaces what is stored, however much newer that is",
        expected=_ONLINE,
    ),
    Mutant(
        name="oldest-write-stays",
        area=Area.ONLINE,
        file="evenstore/online/write_packed.lua",
        old="  if a2 ~= b2 then return a2 > b2 end\n",
        new="  if a2 ~= b2 then return a2 < b2 end\n",
        breaks="of two rows that differ in the lower bits of their order the older one stays",
        expected=_ONLINE,
    ),
    Mutant(
        name="last-write-wins-in-the-other-layout",
        area=Area.ONLINE,
        file="evenstore/online/write_feast.lua",
        old="== stored_timestamp then return is_greater(order, stored_order) end",
        new="== stored_timestamp then return true end",
        breaks="a write of Feast's layout replaces a greater row of the same event",
        expected=frozenset(),
        why=(
            "golden keeps rows as the repo's own layout says, here the packed one; the "
            "property tests of newest-wins writes see it"
        ),
    ),
)
"""In the order of the table."""
