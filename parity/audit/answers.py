"""What an application gets: the repo's own online store, asked through Feast's SDK.

Feast's status is PRESENT whether or not there is a row, and a missing row has the event timestamp
1970. So the status is decided here, by our rules, from what an application can see; a store that
tells a status of its own is believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.progress import Progress
from evenstore.schema.request import Column, FeatureRequest
from evenstore.semantics import Status, decide_status
from parity.audit.stranger import StrangerRepo
from parity.compare import CellColumn
from parity.report import Refusal
from parity.values import PlainValue, Undecodable

__all__ = ["SdkAnswers", "SdkSide", "plain_value"]

_REFUSED = "feast"
_EPOCH_US = 0
_INTEGERS = frozenset({Dtype.INT32, Dtype.INT64})


@dataclass(frozen=True, slots=True)
class SdkAnswers:
    """What the SDK answered for all entity rows.

    Attributes:
        columns: One per feature, in the request's order.
        refusals: Rows without an answer.
        n_unfounded: Cells that the store calls PRESENT although it has no value for them.
    """

    columns: list[CellColumn]
    refusals: tuple[Refusal, ...]
    n_unfounded: int


_Vector = tuple[list[Any], list[int], list[int]]
"""Value protos, statuses and event timestamps of one feature."""


@dataclass(frozen=True, slots=True)
class _Batch:
    n_rows: int
    vectors: Mapping[str, _Vector] | None
    problem: str = ""


class SdkSide:
    """Looks entity rows up in batches.

    Args:
        repo: The repo.
        request: What is compared, with the declared types of the truth.
        service: Name of the feature service; None to ask for references.
        batch_rows: Entity rows per read.
    """

    def __init__(
        self,
        repo: StrangerRepo,
        request: FeatureRequest,
        *,
        service: str | None,
        batch_rows: int,
    ) -> None:
        self._store = repo.store
        self._request = request
        self._batch_rows = batch_rows
        self._stored: Any = (
            self._store.get_feature_service(service)
            if service is not None
            else [
                f"{column.view_name}:{column.field.name}"
                for column in request.columns
                if not column.is_on_demand
            ]
        )
        # With full names Feast drops what on-demand views of mode `python` compute.
        self._computed = {
            view.name: [
                f"{view.name}:{column.field.name}"
                for column in request.columns
                if column.view_name == view.name
            ]
            for view in request.on_demand
        }

    def read_cells(
        self, columns: Mapping[str, Sequence[PlainValue]], n_rows: int, *, progress: Progress
    ) -> SdkAnswers:
        """Look all rows up.

        Feast fails a whole read because of one row: it is read again in halves, so that only the
        rows at fault go without an answer.
        """
        batches: list[_Batch] = []
        for start in range(0, n_rows, self._batch_rows):
            stop = min(start + self._batch_rows, n_rows)
            batches.extend(self._ask(columns, start, stop))
            progress.advance(stop - start)
        n_unfounded = 0
        cells = []
        for column in self._request.columns:
            n_empty, cell_column = _cell_column(column, batches)
            n_unfounded += n_empty
            cells.append(cell_column)
        return SdkAnswers(cells, tuple(_refusals(batches, columns)), n_unfounded)

    def _ask(
        self, columns: Mapping[str, Sequence[PlainValue]], start: int, stop: int
    ) -> Iterator[_Batch]:
        try:
            yield _Batch(stop - start, self._read(columns, start, stop))
        except Exception as exc:  # noqa: BLE001 - whatever an application would get from Feast.
            problem = str(exc).strip().partition("\n")[0] or type(exc).__name__
        else:
            return
        if stop - start == 1 or _is_of_no_row(problem):
            yield _Batch(stop - start, None, problem)
            return
        middle = (start + stop) // 2
        yield from self._ask(columns, start, middle)
        yield from self._ask(columns, middle, stop)

    def _read(
        self, columns: Mapping[str, Sequence[PlainValue]], start: int, stop: int
    ) -> dict[str, _Vector]:
        entity_rows = [
            {name: values[row_idx] for name, values in columns.items()}
            for row_idx in range(start, stop)
        ]
        vectors = self._vectors(self._stored, entity_rows, prefix=None) if self._stored else {}
        for view_name, references in self._computed.items():
            vectors |= self._vectors(references, entity_rows, prefix=view_name)
        return vectors

    def _vectors(
        self, features: Any, entity_rows: list[dict[str, Any]], *, prefix: str | None
    ) -> dict[str, _Vector]:
        response = self._store.get_online_features(
            features, entity_rows, full_feature_names=prefix is None
        )
        names = response.proto.metadata.feature_names.val
        return {
            name if prefix is None else f"{prefix}__{name}": (
                list(vector.values),
                list(vector.statuses),
                [event.ToMicroseconds() for event in vector.event_timestamps],
            )
            for name, vector in zip(names, response.proto.results, strict=True)
        }


def _is_of_no_row(problem: str) -> bool:
    """Tell whether a read failed for what was asked, not for whom: halves would fail alike."""
    return "cannot serve features" in problem or "onnection" in problem


def _refusals(
    batches: Sequence[_Batch], columns: Mapping[str, Sequence[PlainValue]]
) -> Iterator[Refusal]:
    row_idx = 0
    for batch in batches:
        if batch.vectors is None:
            for refused_idx in range(row_idx, row_idx + batch.n_rows):
                key = {name: values[refused_idx] for name, values in columns.items()}
                yield Refusal(refused_idx, key, _REFUSED, batch.problem)
        row_idx += batch.n_rows


def _cell_column(column: Column, batches: Sequence[_Batch]) -> tuple[int, CellColumn]:
    values: list[PlainValue | None] = []
    statuses: list[Status | None] = []
    events: list[int | None] = []
    n_unfounded = 0
    name = column.output_name(full_feature_names=True)
    for batch in batches:
        vector = None if batch.vectors is None else batch.vectors.get(name)
        if vector is None:
            values += [None] * batch.n_rows
            statuses += [None] * batch.n_rows
            events += [None] * batch.n_rows
            continue
        for proto, told, event_us in zip(*vector, strict=True):
            value = plain_value(proto, column.field.dtype)
            known = None if column.is_on_demand or event_us == _EPOCH_US else event_us
            status = _decide(Status(told), value, known, is_on_demand=column.is_on_demand)
            n_unfounded += told == Status.PRESENT and status is Status.NOT_FOUND
            values.append(value)
            statuses.append(status)
            events.append(known)
    return n_unfounded, CellColumn(values, statuses, events)


def _decide(
    told: Status, value: PlainValue | None, event_us: int | None, *, is_on_demand: bool
) -> Status:
    if told is not Status.PRESENT:
        return told
    is_found = is_on_demand or event_us is not None or value is not None
    return decide_status(is_found=is_found, is_expired=False, is_null=value is None)


def plain_value(proto: Any, dtype: Dtype) -> PlainValue | None:
    """Make a plain value of Feast's protobuf value.

    Args:
        proto: A `feast.types.Value`.
        dtype: The type that the truth has. A number of another type that is equal takes it;
            anything else stays as it is, and differs.
    """
    kind = proto.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    held = getattr(proto, kind)
    if kind.endswith("_list_val"):
        return tuple(held.val)
    if not isinstance(held, bool | int | float | str | bytes):
        return Undecodable(kind)
    if dtype.is_float and type(held) is int and float(held) == held:
        return float(held)
    if type(held) is float and dtype in _INTEGERS and held.is_integer():
        return int(held)
    return held
