"""The gateway without HTTP: from the bytes of a request to the bytes of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from evenstore.clock import Clock
from evenstore.codec.command import encode_command
from evenstore.errors import EvenstoreError, OnlineStoreError
from evenstore.online.column_lookup import ColumnAnswer, ColumnBatch, plain_column
from evenstore.online.row_schemas import RowSchemaNeeded
from serving.errors import InvalidRequestError, RequestTooLargeError
from serving.hot.feast_request import FeastRequest, check_references, parse_feast_request
from serving.link.connection import Receiver
from serving.link.link import RedisLink, check
from serving.plans import Asked, Plans, ReadPlan
from serving.settings import Limits
from serving.telemetry.metrics import Metrics
from serving.telemetry.request_log import RequestLog

__all__ = ["Answer", "Gateway", "Lookup"]


@dataclass(slots=True)  # Not frozen: one is made per request.
class Answer:
    """An answer's JSON, the instant it holds for, and whether the online store was away."""

    body: bytes
    as_of_us: int
    is_degraded: bool = False


@dataclass(slots=True)  # Nor this.
class Lookup:
    """A request between its two halves: before Redis is asked, and after.

    Attributes:
        asked: What was asked for, and how it is answered.
        batch: Its commands.
        as_of_us: Its instant.
        begun: `perf_counter()` at its beginning, and so on.
        parsed: When its JSON was parsed.
        planned: When its commands were made.
    """

    asked: Asked
    batch: ColumnBatch
    as_of_us: int
    begun: float
    parsed: float
    planned: float


class Gateway:
    """What one worker answers from. `plans` may be replaced at any time, as a whole.

    Args:
        plans: The prepared requests.
        reader: The way to Redis.
        clock: Says what is now; frozen in tests.
        limits: What one request may ask for.
        metrics: Where requests are counted.
        log: Where errors are told.
        is_test_mode: Whether a request may name its own instant.
    """

    def __init__(
        self,
        plans: Plans,
        reader: RedisLink,
        clock: Clock,
        limits: Limits,
        *,
        metrics: Metrics | None = None,
        log: RequestLog | None = None,
        is_test_mode: bool = False,
    ) -> None:
        self.plans = plans
        self.reader = reader
        self.clock = clock
        self.limits = limits
        self.metrics = Metrics() if metrics is None else metrics
        self.log = RequestLog("off") if log is None else log
        self.is_test_mode = is_test_mode

    async def get_online_features(self, body: bytes) -> Answer:
        """Answer one request in Feast's form; its instant is now, for every view it reads.

        A stored row that cannot be read has the status INVALID; the others are answered.

        Raises:
            InvalidRequestError: The body has not the form of a request.
            RequestTooLargeError: It asks for more than the limits allow.
            UnknownFeatureServiceError: The registry has no such service.
            UnknownFeatureError: The registry has no such view or feature.
            EntityRowsError: A column is missing or a value has not the declared type.
            OnlineStoreError: Redis failed.
        """
        lookup = self.begin(body)
        replies: list[Any] = []
        try:
            if lookup.batch.n_commands:
                replies = await self.reader.send(lookup.batch.payload, lookup.batch.n_commands)
            return self.finish(lookup, replies)
        except RowSchemaNeeded as needed:
            return await self.finish_with_schemas(lookup, replies, needed)
        except OnlineStoreError as exc:
            return self.degrade(lookup, exc)

    def begin(self, body: bytes) -> Lookup:
        """Begin what `get_online_features` does: everything before Redis is asked.

        Raises:
            EvenstoreError: As there, but for Redis.
        """
        begun = perf_counter()
        as_of_us = self.clock.now_us()
        plans = self.plans
        asked, entities = plans.known_bodies.find(body) or self._read(plans, body)
        parsed = perf_counter()
        plan = asked.plan
        self.check_size(plan, max(map(len, entities.values()), default=0))
        batch = plan.columns.begin(plan.form.read_columns(entities))
        if batch.n_rows == 0:
            msg = "no entity rows"
            raise InvalidRequestError(msg, hint="send at least one value per join key")
        return Lookup(asked, batch, as_of_us, begun, parsed, perf_counter())

    def _read(self, plans: Plans, body: bytes) -> tuple[Asked, dict[str, list[Any]]]:
        request = parse_feast_request(body)
        plan = self.plan(request)
        plan.form.check_names(full_feature_names=request.full_feature_names)
        asked = Asked(plan, request.full_feature_names, request.lists_views)
        plans.known_bodies.note(body, request, asked)
        return asked, request.entities

    def ask(self, lookup: Lookup, receiver: Receiver) -> None:
        """Ask Redis; there is at least one command.

        Raises:
            OnlineStoreError: It is away, or too much is under way.
        """
        self.reader.ask(lookup.batch.payload, lookup.batch.n_commands, receiver)

    def finish(self, lookup: Lookup, replies: list[Any]) -> Answer:
        """Make the answer.

        Raises:
            RowSchemaNeeded: `finish_with_schemas` is to be called.
            OnlineStoreError: Redis refused a command; `degrade` says what becomes of it.
        """
        check(replies)
        fetched = perf_counter()
        answer = lookup.asked.plan.columns.finish(lookup.batch, replies, as_of_us=lookup.as_of_us)
        return self._render(lookup, answer, fetched)

    async def finish_with_schemas(
        self, lookup: Lookup, replies: list[Any], needed: RowSchemaNeeded
    ) -> Answer:
        """Make the answer after asking Redis for the schemas of stored rows.

        Raises:
            OnlineStoreError: Redis failed.
        """
        columns, batch = lookup.asked.plan.columns, lookup.batch
        fetched = perf_counter()
        try:
            while True:  # Once per schema: the answer is kept.
                (reply,) = await self.reader.send(encode_command(needed.command), 1)
                check([reply])
                columns.learn(batch, needed, reply)
                try:
                    answer = columns.finish(batch, replies, as_of_us=lookup.as_of_us)
                except RowSchemaNeeded as another:
                    needed = another
                else:
                    return self._render(lookup, answer, fetched)
        except OnlineStoreError as exc:
            return self.degrade(lookup, exc)

    def degrade(self, lookup: Lookup, error: OnlineStoreError) -> Answer:
        """Answer without the store where the service fails open.

        Raises:
            OnlineStoreError: It fails closed.
        """
        if not lookup.asked.plan.fails_open:
            raise error
        self.log.log_error(error, route="/get-online-features", status=503)
        fetched = perf_counter()
        answer = self._render(lookup, lookup.asked.plan.columns.unavailable(lookup.batch), fetched)
        answer.is_degraded = True
        return answer

    def _render(self, lookup: Lookup, answer: ColumnAnswer, fetched: float) -> Answer:
        computed = perf_counter()
        decoded = computed if answer.decoded_s is None else answer.decoded_s
        if answer.errors:
            self._note_errors(answer)
        asked, batch = lookup.asked, lookup.batch
        plan = asked.plan
        rendered = plan.renderer.render(
            [batch.keys[name] for name in plan.key_names],
            answer,
            batch.n_rows,
            full_feature_names=asked.full_feature_names,
            lists_views=asked.lists_views,
        )
        self._count_values(plan, answer, batch.n_rows, lookup.as_of_us)
        self.metrics.observe_lookup(
            (
                *(lookup.begun, lookup.parsed, lookup.planned),
                *(fetched, decoded, computed, perf_counter()),
            )
        )
        return Answer(rendered, lookup.as_of_us)

    def plan(self, request: FeastRequest) -> ReadPlan:
        """Return what is prepared for a request.

        Raises:
            InvalidRequestError: A reference has not the right form, or stands twice.
            RequestTooLargeError: There are more references than allowed.
            UnknownFeatureServiceError: The registry has no such service.
            UnknownFeatureError: The registry has no such view or feature.
        """
        if request.feature_service is not None:
            return self.plans.for_service(request.feature_service)
        references = tuple(request.features)
        plan = self.plans.prepared(references)
        if plan is not None:
            return plan
        if len(references) > self.limits.max_features:
            msg = f"{len(references)} features, at most {self.limits.max_features} are allowed"
            raise RequestTooLargeError(msg, hint="split the list, or name a feature service")
        check_references(references)
        return self.plans.for_references(references)

    def check_size(self, plan: ReadPlan, n_rows: int) -> None:
        """Refuse what costs more than the limits allow.

        Raises:
            RequestTooLargeError: There are too many entity rows, or values.
        """
        n_values = n_rows * len(plan.request.columns)
        limits = self.limits
        if n_rows > limits.max_entity_rows:
            msg = f"{n_rows} entity rows, at most {limits.max_entity_rows} are allowed"
        elif n_values > limits.max_values:
            msg = f"{n_values} values asked for, at most {limits.max_values} are allowed"
        else:
            return
        raise RequestTooLargeError(msg, hint="send fewer entity rows in each of several requests")

    def _note_errors(self, answer: ColumnAnswer) -> None:
        by_code: dict[str, list[EvenstoreError]] = {}
        for error in answer.errors.values():
            by_code.setdefault(error.code, []).append(error)
        for code, errors in by_code.items():
            self.metrics.count_row_error(code, len(errors))
            self.log.log_error(errors[0], route="/get-online-features", status=500)

    def _count_values(
        self, plan: ReadPlan, answer: ColumnAnswer, n_rows: int, as_of_us: int
    ) -> None:
        """Count statuses per view, and, of some requests, how old the rows were."""
        samples_ages = self.metrics.samples_ages()
        for counts, places in plan.counted_views(self.metrics):
            for i in places:
                statuses = answer.statuses[i]
                if statuses is None:
                    counts.present += n_rows
                else:
                    counts.count(statuses)
            event_us = answer.event_us[places[0]]
            if samples_ages and event_us is not None:
                for event in plain_column(event_us):
                    if event is not None:
                        counts.observe_age_us(as_of_us - event)
