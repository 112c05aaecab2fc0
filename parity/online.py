"""The online side: what the gateway answers over HTTP, asked as any client asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.client.answers import OnlineFeatures
from evenstore.client.http import FeatureClient
from evenstore.errors import GatewayError, ParityError
from evenstore.progress import Progress
from evenstore.schema.request import Column, FeatureRequest
from evenstore.semantics import Status
from parity.compare import CellColumn
from parity.live.lookups import Answered, Lookups
from parity.live.pace import Pace
from parity.online_values import decode_column
from parity.report import Refusal
from parity.values import PlainValue

__all__ = ["OnlineAnswers", "OnlineSide"]

# The gateway answers the next batches while this process reads the last one.
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


@dataclass(frozen=True, slots=True)
class _Asked:
    entities: Mapping[str, Sequence[PlainValue]]
    n_rows: int
    answered: Answered


class OnlineSide:
    """Looks entity rows up in batches.

    Args:
        client: A client of the gateway.
        request: The feature service.
        batch_rows: Entity rows per HTTP request.
        gateway: The gateway's base URL, so that it can be asked the shortest way.
        pace: How fast; by default as fast as answers come.
    """

    def __init__(
        self,
        client: FeatureClient,
        request: FeatureRequest,
        *,
        batch_rows: int,
        gateway: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._client = client
        self._gateway = gateway
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
        asked: deque[_Asked] = deque()
        with Lookups(
            self._client, self._gateway, self._request.name, n_ahead=_BATCHES_AHEAD
        ) as lookups:
            for start in range(0, n_rows, self._batch_rows):
                stop = min(start + self._batch_rows, n_rows)
                self._pace.wait(stop - start)
                entities = {name: values[start:stop] for name, values in columns.items()}
                asked.append(_Asked(entities, stop - start, lookups.send(entities)))
                if len(asked) == _BATCHES_AHEAD:
                    _take(lookups, asked, batches, progress)
            while asked:
                _take(lookups, asked, batches, progress)
        return self._collect(batches, columns, started_us)

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
        invalid = [told for told in answer.statuses.values() if Status.INVALID in told]
        for i in range(len(answer) if invalid else 0):
            if not any(statuses[i] is Status.INVALID for statuses in invalid):
                continue
            row_idx = first_row_idx + i
            key = {name: values[row_idx] for name, values in columns.items()}
            told = self._client.feature_vectors([key], feature_service=self._request.name)
            error = told.vectors[0].error
            code, message = ("unknown", "") if error is None else (error.code, error.message)
            yield Refusal(row_idx, key, code, message)


def _take(
    lookups: Lookups, asked: deque[_Asked], batches: list[_Batch], progress: Progress
) -> None:
    """Wait for the batch that was asked for first: rows keep their order."""
    first = asked.popleft()
    batches += _batches_of(lookups, first)
    progress.advance(first.n_rows)


def _batches_of(lookups: Lookups, asked: _Asked) -> Iterator[_Batch]:
    """Take an answer, or those of halves, down to the rows that the gateway fails for."""
    try:
        answer = asked.answered()
    except GatewayError as exc:
        if exc.remote_code not in _ROW_ERRORS:
            raise
        if asked.n_rows == 1:
            yield _Batch(1, exc)
            return
        middle = asked.n_rows // 2
        for start, stop in ((0, middle), (middle, asked.n_rows)):
            half = {name: values[start:stop] for name, values in asked.entities.items()}
            yield from _batches_of(lookups, _Asked(half, stop - start, lookups.send(half)))
        return
    if len(answer) != asked.n_rows:
        msg = f"asked for {asked.n_rows} entity rows, the gateway answered {len(answer)}"
        raise ParityError(msg, hint="is there a proxy before the gateway that changes answers?")
    yield _Batch(asked.n_rows, answer)


def _cell_column(column: Column, batches: Sequence[_Batch]) -> CellColumn:
    values: list[Any] = []
    statuses: list[Status] = []
    event_us: list[int | None] = []
    name = column.output_name(full_feature_names=True)
    for batch in batches:
        if isinstance(batch.answer, GatewayError):
            values += [None] * batch.n_rows
            statuses += [Status.INVALID] * batch.n_rows
            event_us += [None] * batch.n_rows
            continue
        if name not in batch.answer.values:
            msg = f"the gateway's answer lacks `{name}`"
            raise ParityError(
                msg, hint="apply the registry and let the gateway load it, then retry"
            )
        values += batch.answer.values[name]
        statuses += batch.answer.statuses[name]
        # The Feast form has no null instant: outputs of on-demand views carry the epoch.
        event_us += [None] * batch.n_rows if column.is_on_demand else batch.answer.event_us[name]
    decoded = decode_column(column.field.dtype, values, statuses)
    if Status.INVALID not in statuses:
        return CellColumn(decoded, statuses, event_us)
    is_told = [status is not Status.INVALID for status in statuses]
    # A default that stands for what could not be read is no answer.
    return CellColumn(
        [value if told else None for value, told in zip(decoded, is_told, strict=True)],
        [status if told else None for status, told in zip(statuses, is_told, strict=True)],
        event_us,
    )
