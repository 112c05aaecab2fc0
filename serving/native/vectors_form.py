"""Feature vectors as JSON and MessagePack, and entity rows as they come in either.

Values differ between the two: JSON has base64 text for bytes and the texts NaN, Infinity and
-Infinity; MessagePack has binary and floats. Instants are RFC 3339 text in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import ormsgpack

from evenstore.clock import us_to_datetime
from evenstore.dtypes import Dtype
from evenstore.errors import EvenstoreError
from evenstore.online.row_lookup import RowVectors
from evenstore.schema.json_form import value_reader, value_writer
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Status
from serving.errors import InvalidRequestError
from serving.native.media_type import Form

__all__ = ["AnswerHeader", "VectorsForm", "describe_error", "event_instants", "name_statuses"]

_US_PER_S = 1_000_000
_STATUS_NAMES = [status.name for status in sorted(Status)]
_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
# Not as the timestamp extension: ormsgpack 1.13 drops a fraction of a second from 2^29 ns on.
_PACK_OPTIONS = ormsgpack.OPT_UTC_Z | ormsgpack.OPT_NAIVE_UTC | ormsgpack.OPT_NON_STR_KEYS

_Writer = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class AnswerHeader:
    """What an answer says of the whole; see `serving.native.models.FeatureVectorsAnswer`."""

    as_of_us: int
    clock: str
    schema_fingerprint: str
    is_degraded: bool

    def to_document(self, feature_names: Sequence[str]) -> dict[str, Any]:
        """Return the fields before `feature_vectors`; `as_of` is a datetime."""
        return {
            "as_of": us_to_datetime(self.as_of_us),
            "as_of_us": self.as_of_us,
            "clock": self.clock,
            "schema_fingerprint": self.schema_fingerprint,
            "degraded": self.is_degraded,
            "feature_names": feature_names,
        }


class VectorsForm:
    """Reads the entity rows and renders the answers of one feature request.

    Build once per schema and request: converters are chosen here by type, never per value.
    """

    def __init__(self, request: FeatureRequest) -> None:
        self.request = request
        self.fingerprint = request.fingerprint
        sent = (*request.entity_columns, *request.request_fields)
        self.readers = {
            form: {
                field.name: read
                for field in sent
                if (read := value_reader(field.dtype, is_text_form=form is Form.JSON)) is not None
            }
            for form in (Form.JSON, Form.MESSAGE_PACK)
        }
        self._writers = [value_writer(column.field.dtype) for column in request.columns]
        self._key_writers: dict[Form, dict[str, _Writer]] = {
            Form.JSON: {field.name: _key_writer(field.dtype) for field in request.entity_columns},
            Form.MESSAGE_PACK: {
                field.name: _key_instant if field.dtype is Dtype.UNIX_TIMESTAMP else None
                for field in request.entity_columns
            },
        }
        self._names = {
            is_full: tuple(
                column.output_name(full_feature_names=is_full) for column in request.columns
            )
            for is_full in (False, True)
        }

    def feature_names(self, *, full_feature_names: bool) -> tuple[str, ...]:
        """Return the features' names, in order.

        Raises:
            InvalidRequestError: Two features would have one name.
        """
        names = self._names[full_feature_names]
        if len(set(names)) < len(names):
            repeated = [name for name, count in Counter(names).items() if count > 1]
            msg = f"two features would have one name: `{repeated[0]}`"
            hint = "rename one view" if full_feature_names else "set `full_feature_names` to true"
            raise InvalidRequestError(msg, hint=hint)
        return names

    def render_json(self, answer: RowVectors, header: AnswerHeader, names: Sequence[str]) -> bytes:
        """Render an answer as JSON."""
        values = [
            _write_column(column.values, write)
            for column, write in zip(answer.columns, self._writers, strict=True)
        ]
        document = header.to_document(names)
        document["feature_vectors"] = self._vectors(answer, values, Form.JSON)
        return orjson.dumps(document, option=_JSON_OPTIONS, default=str)

    def render_message_pack(
        self, answer: RowVectors, header: AnswerHeader, names: Sequence[str]
    ) -> bytes:
        """Render an answer as MessagePack."""
        values = [column.values for column in answer.columns]
        document = header.to_document(names)
        document["feature_vectors"] = self._vectors(answer, values, Form.MESSAGE_PACK)
        return ormsgpack.packb(document, option=_PACK_OPTIONS, default=str)

    def _vectors(
        self, vectors: RowVectors, values: Sequence[Sequence[Any]], form: Form
    ) -> list[dict[str, Any]]:
        n_rows = vectors.n_rows
        statuses = [name_statuses(column.statuses) for column in vectors.columns]
        keys = {
            name: _write_column(vectors.keys[name], write)
            for name, write in self._key_writers[form].items()
        }
        instants = {
            name: event_instants(event_us) for name, event_us in vectors.view_event_us.items()
        }
        ages = {
            name: _ages_s(event_us, vectors.as_of_us)
            for name, event_us in vectors.view_event_us.items()
        }
        errors = {i: describe_error(error) for i, error in vectors.errors.items()}
        return [
            {
                "keys": row_keys,
                "values": row_values,
                "statuses": row_statuses,
                "event_timestamps": row_instants,
                "ages_s": row_ages,
                "error": errors.get(i),
            }
            for i, (row_keys, row_values, row_statuses, row_instants, row_ages) in enumerate(
                zip(
                    _to_objects(keys, n_rows),
                    zip(*values, strict=True),
                    zip(*statuses, strict=True),
                    _to_objects(instants, n_rows),
                    _to_objects(ages, n_rows),
                    strict=True,
                )
            )
        ]


def describe_error(error: EvenstoreError) -> dict[str, str | None]:
    """Return an entity row's error as answers carry it."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def name_statuses(statuses: Sequence[Status]) -> list[str]:
    """Return the names of statuses."""
    return [_STATUS_NAMES[status] for status in statuses]


def event_instants(event_us: Sequence[int | None]) -> list[Any]:
    """Return instants as datetimes; many rows share few of them."""
    made = {each: us_to_datetime(each) for each in set(event_us) if each is not None}
    return [None if each is None else made[each] for each in event_us]


def _ages_s(event_us: Sequence[int | None], as_of_us: int) -> list[float | None]:
    return [None if each is None else (as_of_us - each) / _US_PER_S for each in event_us]


def _write_column(values: Sequence[Any], write: _Writer) -> Sequence[Any]:
    if write is None:
        return values
    return [None if value is None else write(value) for value in values]


def _key_writer(dtype: Dtype) -> _Writer:
    return _key_instant if dtype is Dtype.UNIX_TIMESTAMP else value_writer(dtype)


def _key_instant(seconds: int) -> Any:
    # The lookup gives timestamp keys back as the whole seconds that their bytes hold.
    try:
        return us_to_datetime(seconds * _US_PER_S)
    except OverflowError:
        return seconds


def _to_objects(columns: Mapping[str, Sequence[Any]], n_rows: int) -> list[dict[str, Any]]:
    if not columns:
        return [{} for _ in range(n_rows)]
    names = list(columns)
    if len(names) == 1:
        (name,) = names
        return [{name: value} for value in columns[name]]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
