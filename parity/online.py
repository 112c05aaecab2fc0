"""The online side: what the gateway answers over HTTP, asked as any client asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from evenstore.client.answers import OnlineFeatures
from evenstore.client.http import FeatureClient
from evenstore.errors import GatewayError, ParityError
from evenstore.progress import Progress
from evenstore.schema.request import Column, FeatureRequest
from evenstore.semantics import Status
from parity.compare import CellColumn
from parity.live.pace import Pace
from parity.report import Refusal
from parity.values import PlainValue, decode_online

__all__ = ["OnlineAnswers", "OnlineSide"]

# The gateway answers the next batches while this process decodes the last one.
_BATCHES_AHEAD = 3
# Gateways differ: one fails a whole batch for a stored row that it will not read, another says
# INVALID of the features concerned.
_ROW_ERRORS = frozenset({"corrupt-row", "format-version", "future-row"})


@dataclass(frozen=True, slots=True)
class OnlineAnswers:
    """What the gateway said for all entity rows.

    Attributes:
        columns: One per feature, in the request's order.
        as_of_us: Per row, the instant that its batch's answer states.
        is_clock_frozen: Whether any answer came from a gateway with a frozen clock.
        refusals: Rows that it would not answer for.
    """

    columns: list[CellColumn]
    as_of_us: list[int]
    is_clock_frozen: bool
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class _Batch:
    n_rows: int
    answer: OnlineFeatures | GatewayError


class OnlineSide:
    """Looks entity rows up in batches.

    Args:
        client: A client of the gateway.
        request: The feature service.
        batch_rows: Entity rows per HTTP request.
        pace: How fast; by default as fast as answers come.
    """

    def __init__(
        self,
        client: FeatureClient,
        request: FeatureRequest,
        *,
        batch_rows: int,
        pace: Pace | None = None,
    ) -> None:
        self._client = client
        self._request = request
        self._pace = Pace(None) if pace is None else pace
        self._batch_rows = self._pace.rows_per_batch(batch_rows)

    def read_cells(
        self,
        columns: Mapping[str, Sequence[PlainValue]],
        n_rows: int,
        *,
        started_us: int,
        progress: Progress,
    ) -> OnlineAnswers:
        """Look all rows up.

        A batch that the gateway fails because of one stored row is asked again in halves, so that
        only the rows at fault go without an answer.

        Args:
            columns: Entity columns and request data, by name.
            n_rows: Length of every column.
            started_us: The gateway's instant before the first batch; stands in for the instant of
                a refused row, which has no answer to state one.
            progress: Told the rows that are done.

        Raises:
            GatewayError: The gateway failed for another reason, or gave no answer.
            ParityError: An answer is not of the rows or features asked for.
        """
        batches: list[_Batch] = []
        with ThreadPoolExecutor(_BATCHES_AHEAD) as executor:
            asked: deque[Future[list[_Batch]]] = deque()
            try:
                for start in range(0, n_rows, self._batch_rows):
                    stop = min(start + self._batch_rows, n_rows)
                    asked.append(executor.submit(self._ask_in_turn, columns, start, stop))
                    if len(asked) == _BATCHES_AHEAD:
                        _take(asked, batches, progress)
                while asked:
                    _take(asked, batches, progress)
            finally:
                for future in asked:
                    future.cancel()
        return self._collect(batches, columns, started_us)

    def _ask_in_turn(
        self, columns: Mapping[str, Sequence[PlainValue]], start: int, stop: int
    ) -> list[_Batch]:
        self._pace.wait(stop - start)
        return list(self._ask(columns, start, stop))

    def _ask(
        self, columns: Mapping[str, Sequence[PlainValue]], start: int, stop: int
    ) -> Iterator[_Batch]:
        n_rows = stop - start
        try:
            answer = self._client.get_online_features(
                entities={name: values[start:stop] for name, values in columns.items()},
                feature_service=self._request.name,
                full_feature_names=True,
            )
        except GatewayError as exc:
            if exc.remote_code not in _ROW_ERRORS:
                raise
            if n_rows == 1:
                yield _Batch(1, exc)
                return
            middle = start + n_rows // 2
            yield from self._ask(columns, start, middle)
            yield from self._ask(columns, middle, stop)
            return
        if len(answer) != n_rows:
            msg = f"asked for {n_rows} entity rows, the gateway answered {len(answer)}"
            raise ParityError(msg, hint="is there a proxy before the gateway that changes answers?")
        yield _Batch(n_rows, answer)

    def _collect(
        self,
        batches: Sequence[_Batch],
        columns: Mapping[str, Sequence[PlainValue]],
        started_us: int,
    ) -> OnlineAnswers:
        as_of_us: list[int] = []
        refusals: list[Refusal] = []
        answers: list[OnlineFeatures] = []
        for batch in batches:
            if isinstance(batch.answer, GatewayError):
                row_idx = len(as_of_us)
                key = {name: values[row_idx] for name, values in columns.items()}
                error = batch.answer
                refusals.append(Refusal(row_idx, key, error.remote_code, error.message))
                as_of_us.append(started_us)
            else:
                refusals += self._refusals(batch.answer, columns, first_row_idx=len(as_of_us))
                answers.append(batch.answer)
                as_of_us += [batch.answer.as_of_us] * batch.n_rows
        return OnlineAnswers(
            columns=[_cell_column(column, batches) for column in self._request.columns],
            as_of_us=as_of_us,
            is_clock_frozen=any(answer.is_clock_frozen for answer in answers),
            refusals=tuple(refusals),
        )

    def _refusals(
        self,
        answer: OnlineFeatures,
        columns: Mapping[str, Sequence[PlainValue]],
        *,
        first_row_idx: int,
    ) -> Iterator[Refusal]:
        """Ask of each row with INVALID features, one by one, why they are."""
        for i in range(len(answer)):
            if not any(statuses[i] is Status.INVALID for statuses in answer.statuses.values()):
                continue
            row_idx = first_row_idx + i
            key = {name: values[row_idx] for name, values in columns.items()}
            told = self._client.feature_vectors([key], feature_service=self._request.name)
            error = told.vectors[0].error
            code, message = ("unknown", "") if error is None else (error.code, error.message)
            yield Refusal(row_idx, key, code, message)


def _take(asked: deque[Future[list[_Batch]]], batches: list[_Batch], progress: Progress) -> None:
    """Wait for the batch that was asked for first: rows keep their order."""
    answered = asked.popleft().result()
    batches += answered
    progress.advance(sum(batch.n_rows for batch in answered))


def _cell_column(column: Column, batches: Sequence[_Batch]) -> CellColumn:
    values: list[PlainValue | None] = []
    statuses: list[Status | None] = []
    event_us: list[int | None] = []
    for batch in batches:
        cells = _batch_cells(column, batch)
        values += cells.values
        statuses += cells.statuses
        event_us += cells.event_us
    return CellColumn(values, statuses, event_us)


def _batch_cells(column: Column, batch: _Batch) -> CellColumn:
    no_event: list[int | None] = [None] * batch.n_rows
    if isinstance(batch.answer, GatewayError):
        return CellColumn([None] * batch.n_rows, [None] * batch.n_rows, no_event)
    name = column.output_name(full_feature_names=True)
    if name not in batch.answer.values:
        msg = f"the gateway's answer lacks `{name}`"
        raise ParityError(msg, hint="apply the registry and let the gateway load it, then retry")
    statuses = batch.answer.statuses[name]
    values = decode_online(column.field.dtype, batch.answer.values[name], statuses)
    if Status.INVALID in statuses:
        is_told = [status is not Status.INVALID for status in statuses]
        # A default that stands for what could not be read is no answer.
        values = [value if told else None for value, told in zip(values, is_told, strict=True)]
        known = [status if told else None for status, told in zip(statuses, is_told, strict=True)]
    else:
        known = [*statuses]
    # The Feast form has no null instant: outputs of on-demand views carry the epoch.
    instants = no_event if column.is_on_demand else batch.answer.event_us[name]
    return CellColumn(values, known, instants)
