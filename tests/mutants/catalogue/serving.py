"""Mutants of lookups: decoding, statuses, the gateway's answers and the client that reads them."""

from __future__ import annotations

from tests.mutants.mutant import Area, Mutant
from tests.mutants.verdict import Catcher

__all__ = ["MUTANTS"]

_ONLINE = frozenset({Catcher.LIVE, Catcher.FROZEN})

MUTANTS = (
    Mutant(
        name="online-ttl-edge-exclusive",
        area=Area.ONLINE,
        file="evenstore/online/view_decoder.py",
        old="is_expired = age_us > self._fresh_for_us",
        new="is_expired = age_us >= self._fresh_for_us",
        breaks="a row at the last microsecond of its ttl is expired in large lookups",
        expected=_ONLINE,
    ),
    Mutant(
        name="online-fast-ttl-check-exclusive",
        area=Area.SEMANTICS,
        file="evenstore/semantics.py",
        old="return ttl_us is None or as_of_us - event_us <= ttl_us",
        new="return ttl_us is None or as_of_us - event_us < ttl_us",
        breaks="the check of the ttl that lookups share excludes its own edge",
        expected=frozenset(),
        why=(
            "changes no answer: lookups ask it only whether all rows are fresh, and judge a row "
            "at the edge by a second check"
        ),
    ),
    Mutant(
        name="ttl-never-enforced",
        area=Area.ONLINE,
        file="evenstore/online/view_decoder.py",
        old="self._watched_ttl_us = read.view.ttl_us if is_watched else None",
        new="self._watched_ttl_us = None if is_watched else read.view.ttl_us",
        breaks="lookups never find a row too old",
        expected=_ONLINE,
    ),
    Mutant(
        name="expired-values-served",
        area=Area.ONLINE,
        file="evenstore/online/block_columns.py",
        old="        values = [_hide(column, is_withheld) for column in values]\n",
        new="        values = [column for column in values]\n",
        breaks="large lookups give the values of expired rows",
        expected=_ONLINE,
    ),
    Mutant(
        name="null-status-lost",
        area=Area.ONLINE,
        file="evenstore/online/block_columns.py",
        old="            statuses[row] = Status.NULL_VALUE\n",
        new="            statuses[row] = Status.PRESENT\n",
        breaks="a null has the status PRESENT in large lookups",
        expected=_ONLINE,
    ),
    Mutant(
        name="wrong-column-read",
        area=Area.ONLINE,
        file="evenstore/online/view_decoder.py",
        old="self.view_id, schema, tuple(stored[field] for field in read.features)",
        new="self.view_id, schema, tuple(sorted(stored[field] for field in read.features))",
        breaks="large lookups read features in the order of their names, and name them as declared",
        expected=_ONLINE,
    ),
    Mutant(
        name="large-lookups-unsigned",
        area=Area.CODEC,
        file="evenstore/codec/packed_block.py",
        old="    signed: _Array = raw << shift >> shift\n",
        new="    signed: _Array = raw & ((1 << np.minimum(8 * size, 62)) - 1)\n",
        breaks="negative whole numbers are read without their sign",
        expected=_ONLINE,
    ),
    Mutant(
        name="small-lookups-unsigned",
        area=Area.CODEC,
        file="evenstore/codec/packed_row.py",
        old='INTEGER_FORMATS = "bhiq"',
        new='INTEGER_FORMATS = "BHIq"',
        breaks="negative whole numbers are read without their sign in small lookups",
        expected=_ONLINE,
    ),
    Mutant(
        name="flag-as-number",
        area=Area.CODEC,
        file="evenstore/codec/packed_row.py",
        old='Dtype.BOOL: "?"}',
        new='Dtype.BOOL: "b"}',
        breaks="a flag is 0 or 1 in small lookups",
        expected=_ONLINE,
    ),
    Mutant(
        name="event-before-1970-without-bias",
        area=Area.CODEC,
        file="evenstore/codec/packed_block.py",
        old="_BIASES = np.where(np.arange(256) >> 4 >= FIRST_POSITIVE, 0, _MASKS + 1)",
        new="_BIASES = np.where(np.arange(256) >> 4 >= FIRST_POSITIVE, 0, _MASKS)",
        breaks="event timestamps of before 1970 are a microsecond late",
        expected=_ONLINE,
    ),
    Mutant(
        name="list-read-backwards",
        area=Area.CODEC,
        file="evenstore/codec/feast_scalar.py",
        old="                values.append(value)\n",
        new="                values.insert(0, value)\n",
        breaks="texts in lists are read in reverse",
        expected=_ONLINE,
    ),
    Mutant(
        name="empty-list-read-as-null",
        area=Area.CODEC,
        file="evenstore/codec/feast_scalar.py",
        old="        return values, end\n\n    return read_list",
        new="        return values or None, end\n\n    return read_list",
        breaks="a stored empty list is read as null",
        expected=_ONLINE,
    ),
    Mutant(
        name="list-integers-unsigned",
        area=Area.CODEC,
        file="evenstore/codec/feast_scalar.py",
        old="    return to_signed(value), end\n",
        new="    return value, end\n",
        breaks="negative numbers in lists are read without their sign",
        expected=_ONLINE,
    ),
    Mutant(
        name="keys-normalised",
        area=Area.ONLINE,
        file="evenstore/online/key_payload.py",
        old="                text = value.encode()\n",
        new=(
            "                import unicodedata\n\n"
            '                text = unicodedata.normalize("NFC", value).encode()\n'
        ),
        breaks="a text key is looked up in another Unicode form than it is stored under",
        expected=_ONLINE,
    ),
    Mutant(
        name="texts-stripped-in-keys",
        area=Area.ONLINE,
        file="evenstore/online/key_payload.py",
        old="                text = value.encode()\n",
        new="                text = value.strip().encode()\n",
        breaks="blanks around a text key are dropped when it is looked up",
        expected=_ONLINE,
    ),
    Mutant(
        name="event-rendered-in-milliseconds",
        area=Area.GATEWAY,
        file="serving/hot/feast_renderer.py",
        old='return orjson.dumps(event_us.view("M8[us]"), option=_OPTIONS)',
        new='return orjson.dumps(event_us.view("M8[us]").astype("M8[ms]"), option=_OPTIONS)',
        breaks="event timestamps in Feast's form lose their microseconds",
        expected=_ONLINE,
    ),
    Mutant(
        name="infinity-rendered-as-null",
        area=Area.GATEWAY,
        file="serving/hot/feast_renderer.py",
        old="    return math.inf in column or -math.inf in column\n",
        new="    return False\n",
        breaks="an infinite number is null in Feast's form",
        expected=_ONLINE,
    ),
    Mutant(
        name="statuses-of-the-first-column",
        area=Area.GATEWAY,
        file="serving/native/vectors_form.py",
        old="statuses = [name_statuses(column.statuses) for column in vectors.columns]",
        new="statuses = [name_statuses(vectors.columns[0].statuses) for _ in vectors.columns]",
        breaks="every feature has the status of the first one in `/v1/feature-vectors`",
        expected=_ONLINE,
    ),
    Mutant(
        name="bytes-for-urls",
        area=Area.GATEWAY,
        file="evenstore/schema/json_form.py",
        old='return base64.b64encode(value).decode("ascii")',
        new='return base64.urlsafe_b64encode(value).decode("ascii")',
        breaks="bytes are written in another alphabet of base64",
        expected=_ONLINE,
    ),
    Mutant(
        name="instant-cut-to-seconds",
        area=Area.GATEWAY,
        file="serving/native/vectors_request.py",
        old="instant = datetime.fromisoformat(as_of) if isinstance(as_of, str) else as_of",
        new=(
            "instant = datetime.fromisoformat(as_of).replace(microsecond=0)"
            " if isinstance(as_of, str) else as_of"
        ),
        breaks="the instant asked for loses its fraction of a second",
        expected=frozenset(),
        stops=True,
    ),
    Mutant(
        name="nan-read-as-null",
        area=Area.GATEWAY,
        file="evenstore/client/values.py",
        old="null_when_present = math.nan if dtype.is_float else None",
        new="null_when_present = None",
        breaks="the client reads NaN as null",
        expected=_ONLINE,
    ),
    Mutant(
        name="deleted-entity-served",
        area=Area.ONLINE,
        file="evenstore/online/view_decoder.py",
        old="            if flags & TOMBSTONE:\n                return self._no_row()\n",
        new="",
        breaks="an entity that was deleted is read as a row",
        expected=frozenset(),
        why="golden loads and reads, and deletes nothing",
    ),
)
"""In the order of the table."""
