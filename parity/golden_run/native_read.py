"""The online side at any instant: `/v1/feature-vectors` of a gateway in test mode, as cells.

Its JSON tells NaN from null and has RFC 3339 text for instants; cells have the plain values that
`evenstore.client.values` makes of Feast's form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from evenstore.client.http import FeatureClient
from evenstore.client.values import decode_online
from evenstore.client.vectors import FeatureVector
from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.schema.request import Column, FeatureRequest
from evenstore.semantics import Status, floor_to_s
from parity.compare import CellColumn
from parity.online import OnlineAnswers
from parity.report import Refusal
from parity.values import PlainValue

__all__ = ["NativeSide"]

_INSTANTS = frozenset({"UnixTimestamp", "ZonedTimestamp"})


class NativeSide:
    """Looks entity rows up at one instant, in batches.

    Args:
        client: A client of the gateway.
        request: The feature service.
        batch_rows: Entity rows per request.
    """

    def __init__(self, client: FeatureClient, request: FeatureRequest, *, batch_rows: int) -> None:
        self._client = client
        self._request = request
        self._batch_rows = batch_rows

    def read_cells(
        self, columns: Mapping[str, Sequence[PlainValue]], n_rows: int, *, as_of_us: int
    ) -> OnlineAnswers:
        """Look all rows up.

        Raises:
            GatewayError: The gateway failed or gave no answer.
            ParityError: An answer is not of the rows, features or instant asked for.
        """
        rows = [{name: values[i] for name, values in columns.items()} for i in range(n_rows)]
        vectors: list[FeatureVector] = []
        is_frozen = False
        for start in range(0, n_rows, self._batch_rows):
            asked = rows[start : start + self._batch_rows]
            answer = self._client.feature_vectors(
                asked,
                feature_service=self._request.name,
                full_feature_names=True,
                as_of=us_to_datetime(as_of_us),
                timeout_s=60.0,
            )
            if len(answer) != len(asked) or answer.as_of_us != as_of_us:
                msg = f"asked for {len(asked)} entity rows, the gateway answered {len(answer)}"
                raise ParityError(msg, hint="does the gateway run in test mode?")
            vectors += answer.vectors
            is_frozen = is_frozen or answer.is_clock_frozen
        return OnlineAnswers(
            columns=[self._column(column, vectors) for column in self._request.columns],
            as_of_us=[as_of_us] * n_rows,
            is_clock_frozen=is_frozen,
            refusals=tuple(
                Refusal(i, rows[i], vector.error.code, vector.error.message)
                for i, vector in enumerate(vectors)
                if vector.error is not None
            ),
        )

    def _column(self, column: Column, vectors: Sequence[FeatureVector]) -> CellColumn:
        name = column.output_name(full_feature_names=True)
        place = vectors[0].names.index(name) if name in vectors[0].names else None
        if place is None:
            msg = f"the gateway's answer lacks `{name}`"
            raise ParityError(msg, hint="build the golden set anew: does the service have it?")
        statuses = [vector.statuses[place] for vector in vectors]
        values = _decode(column.field.dtype, [vector.values[place] for vector in vectors], statuses)
        is_told = [status is not Status.INVALID for status in statuses]
        events: list[int | None] = [None] * len(vectors)
        if not column.is_on_demand:
            events = [vector.event_us.get(column.view_name) for vector in vectors]
        return CellColumn(
            [value if told else None for value, told in zip(values, is_told, strict=True)],
            [status if told else None for status, told in zip(statuses, is_told, strict=True)],
            events,
        )


def _decode(
    dtype: Dtype, values: Sequence[Any], statuses: Sequence[Status]
) -> list[PlainValue | None]:
    # A null is null here, and NaN a text: only Feast's form leaves it to the status.
    told = [Status.NULL_VALUE if value is None else Status.PRESENT for value in values]
    decoded = decode_online(dtype, [_feast_form(dtype, value) for value in values], told)
    # As in the offline cells, which Feast's form could not tell apart: a NaN that is not present.
    return [
        None if status is not Status.PRESENT and value != value else value  # noqa: PLR0124 - NaN
        for value, status in zip(decoded, statuses, strict=True)
    ]


def _feast_form(dtype: Dtype, value: Any) -> Any:
    """Give instants their whole seconds, wherever in a value they are declared."""
    if value is None or dtype.value == "ZonedTimestamp":
        return value
    if dtype.is_list or dtype.is_set:
        if not isinstance(value, list) or not _has_instants(dtype):
            return value
        return [_nested_form(dtype.element, item) for item in value]
    if dtype.is_struct and isinstance(value, dict):
        named = dict(dtype.fields)
        return {
            name: _nested_form(named[name], item) if name in named else item
            for name, item in value.items()
        }
    return _seconds(value) if dtype is Dtype.UNIX_TIMESTAMP else value


def _nested_form(dtype: Dtype, value: Any) -> Any:
    if dtype.value in _INSTANTS:
        return _seconds(value)
    return _feast_form(dtype, value)


def _has_instants(dtype: Dtype) -> bool:
    return any(name in dtype.value for name in _INSTANTS)


def _seconds(value: Any) -> Any:
    try:
        return floor_to_s(datetime_to_us(datetime.fromisoformat(value)))
    except (TypeError, ValueError):
        # Left as it is: decoding tells that it is not of the declared type.
        return value
