"""The gateway without HTTP: from the bytes of a request to the bytes of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from evenstore.clock import Clock
from evenstore.codec.command import encode_command
from evenstore.errors import EvenstoreError, OnlineStoreError
from evenstore.online.column_lookup import ColumnAnswer, ColumnBatch
from evenstore.online.row_schemas import RowSchemaNeeded
from serving.errors import InvalidRequestError, RequestTooLargeError
from serving.hot.feast_request import FeastRequest, check_references, parse_feast_request
from serving.link.link import RedisLink, check
from serving.plans import Plans, ReadPlan
from serving.settings import Limits
from serving.telemetry.metrics import Metrics
from serving.telemetry.request_log import RequestLog

__all__ = ["Answer", "Gateway"]


@dataclass(slots=True)  # Not frozen: one is made per request.
class Answer:
    """An answer's JSON, the instant it holds for, and whether the online store was away."""

    body: bytes
    as_of_us: int
    is_degraded: bool = False


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
        begun = perf_counter()
        as_of_us = self.clock.now_us()
        request = parse_feast_request(body)
        parsed = perf_counter()
        plan = self.plan(request)
        plan.form.check_names(full_feature_names=request.full_feature_names)
        self.check_size(plan, max(map(len, request.entities.values()), default=0))
        columns = plan.columns
        batch = columns.begin(plan.form.read_columns(request.entities))
        n_rows = batch.n_rows
        if n_rows == 0:
            msg = "no entity rows"
            raise InvalidRequestError(msg, hint="send at least one value per join key")
        planned = perf_counter()
        is_degraded = False
        fetched = planned
        replies: list[Any] = []
        try:
            if batch.n_commands:
                replies = await self.reader.send(batch.payload, batch.n_commands)
                check(replies)
            fetched = perf_counter()
            answer = columns.finish(batch, replies, as_of_us=as_of_us)
        except RowSchemaNeeded as needed:
            answer = await self._finish_with_schemas(plan, batch, replies, as_of_us, needed)
        except OnlineStoreError as exc:
            if not plan.fails_open:
                raise
            self.log.log_error(exc, route="/get-online-features", status=503)
            answer, is_degraded = columns.unavailable(batch), True
        computed = perf_counter()
        decoded = computed if answer.decoded_s is None else answer.decoded_s
        if answer.errors:
            self._note_errors(answer)
        rendered = plan.renderer.render(
            [batch.keys[name] for name in plan.key_names],
            answer,
            n_rows,
            full_feature_names=request.full_feature_names,
            lists_views=request.lists_views,
        )
        self._count_values(plan, answer, n_rows, as_of_us)
        self.metrics.observe_lookup(
            (begun, parsed, planned, fetched, decoded, computed, perf_counter())
        )
        return Answer(rendered, as_of_us, is_degraded)

    async def _finish_with_schemas(
        self,
        plan: ReadPlan,
        batch: ColumnBatch,
        replies: list[Any],
        as_of_us: int,
        needed: RowSchemaNeeded,
    ) -> ColumnAnswer:
        while True:  # Once per schema: the answer is kept.
            (reply,) = await self.reader.send(encode_command(needed.command), 1)
            check([reply])
            plan.columns.learn(batch, needed, reply)
            try:
                return plan.columns.finish(batch, replies, as_of_us=as_of_us)
            except RowSchemaNeeded as another:
                needed = another

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
                for event in event_us:
                    if event is not None:
                        counts.observe_age_us(as_of_us - int(event))
