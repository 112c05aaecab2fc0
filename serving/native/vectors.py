"""Feature vectors without HTTP: from a request's bytes to those of its answer."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from evenstore.errors import OnlineStoreError
from evenstore.online.column_lookup import ColumnAnswer, ColumnBatch, ColumnLookup
from evenstore.online.row_lookup import EntityRows, RowVectors
from evenstore.online.row_schemas import RowSchemaNeeded
from serving.errors import InvalidRequestError, RequestTooLargeError, status_of
from serving.link.link import check
from serving.native.media_type import Form
from serving.native.observation import ROUTE, observe_answer
from serving.native.vectors_form import AnswerHeader, VectorsForm
from serving.native.vectors_request import VectorsRequest, parse_vectors_request

if TYPE_CHECKING:
    from serving.gateway import Gateway
    from serving.plans import ReadPlan

__all__ = ["FeatureVectorService", "RenderedVectors"]


@dataclass(frozen=True, slots=True)
class RenderedVectors:
    """An answer's bytes, the instant it holds for, and whether the store was away."""

    body: bytes
    as_of_us: int
    is_degraded: bool


class FeatureVectorService:
    """Answers requests for feature vectors from a gateway's plans and its way to Redis."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        # Plans are replaced as a whole; forms go with the lookups they belong to.
        self._forms: WeakKeyDictionary[ColumnLookup, VectorsForm] = WeakKeyDictionary()
        self._is_test_mode = gateway.is_test_mode

    async def answer(self, body: bytes, sent: Form, wanted: Form) -> RenderedVectors:
        """Answer one request.

        Args:
            body: The request's body.
            sent: Its form.
            wanted: The answer's.

        Raises:
            InvalidRequestError: The body has not the form of a request, or asks for an instant
                outside test mode.
            RequestTooLargeError: It asks for more than the limits allow.
            UnknownFeatureServiceError: The registry has no such service.
            UnknownFeatureError: The registry has no such view or feature.
            EvenstoreError: With `on_error: fail`, the first fault of an entity row.
            OnlineStoreError: Redis failed, and the service fails closed.
        """
        begun = perf_counter()
        now_us = self._gateway.clock.now_us()
        request = parse_vectors_request(body, sent)
        parsed = perf_counter()
        as_of_us = self._instant(request, now_us)
        plan = self._plan(request)
        form = self.form_of(plan)
        names = form.feature_names(full_feature_names=request.full_feature_names)
        self._gateway.check_size(plan, len(request.entity_rows))
        rows = EntityRows(plan.columns, request.entity_rows, form.readers[sent])
        planned = perf_counter()
        answer, fetched = await self._look_up(plan, rows, as_of_us)
        decoded = perf_counter()
        observe_answer(self._gateway, plan, answer)
        if request.fails_as_a_whole and answer.errors:
            raise answer.errors[min(answer.errors)]
        header = AnswerHeader(
            as_of_us=as_of_us,
            clock="frozen" if self._gateway.clock.is_frozen else "system",
            schema_fingerprint=form.fingerprint,
            is_degraded=answer.is_degraded,
        )
        rendered = _render(form, answer, header, names, wanted)
        # On-demand functions count as decoding: rows at fault are found in one with them.
        self._gateway.metrics.observe_lookup(
            (begun, parsed, planned, fetched, decoded, decoded, perf_counter())
        )
        return RenderedVectors(rendered, as_of_us, answer.is_degraded)

    def form_of(self, plan: ReadPlan) -> VectorsForm:
        """Return the form of a plan, making it at the first use."""
        form = self._forms.get(plan.columns)
        if form is None:
            form = self._forms[plan.columns] = VectorsForm(plan.request)
        return form

    async def _look_up(
        self, plan: ReadPlan, rows: EntityRows, as_of_us: int
    ) -> tuple[RowVectors, float]:
        """Return the answer, and when Redis had answered."""
        try:
            answer, fetched = await self._read(plan.columns, rows.batch, as_of_us)
        except OnlineStoreError as exc:
            if not plan.fails_open:
                raise
            self._gateway.log.log_error(exc, route=ROUTE, status=status_of(exc))
            answer, fetched = plan.columns.unavailable(rows.batch), perf_counter()
            return rows.spread(answer, as_of_us=as_of_us, is_degraded=True), fetched
        return rows.spread(answer, as_of_us=as_of_us), fetched

    async def _read(
        self, lookup: ColumnLookup, batch: ColumnBatch, as_of_us: int
    ) -> tuple[ColumnAnswer, float]:
        reader, n_commands = self._gateway.reader, batch.n_commands
        replies = await reader.send(batch.payload, n_commands) if n_commands else []
        check(replies)
        fetched = perf_counter()
        while True:
            try:
                return lookup.finish(batch, replies, as_of_us=as_of_us), fetched
            except RowSchemaNeeded as needed:  # Once per schema: the answer is kept.
                (reply,) = await reader.read([needed.command])
                lookup.learn(batch, needed, reply)

    def _instant(self, request: VectorsRequest, now_us: int) -> int:
        if request.as_of_us is None:
            return now_us
        if not self._is_test_mode:
            msg = "`as_of` is taken in test mode only"
            hint = "leave it out: the answer is as of now, and says which instant that is"
            raise InvalidRequestError(msg, hint=hint)
        return request.as_of_us

    def _plan(self, request: VectorsRequest) -> ReadPlan:
        plans, limits = self._gateway.plans, self._gateway.limits
        if request.feature_service is not None:
            return plans.for_service(request.feature_service)
        references = request.features or ()
        if len(references) > limits.max_features:
            msg = f"{len(references)} features, at most {limits.max_features} are allowed"
            raise RequestTooLargeError(msg, hint="split the list, or name a feature service")
        return plans.for_references(references)


def _render(
    form: VectorsForm,
    answer: RowVectors,
    header: AnswerHeader,
    names: Sequence[str],
    wanted: Form,
) -> bytes:
    if wanted is Form.JSON:
        return form.render_json(answer, header, names)
    if wanted is Form.MESSAGE_PACK:
        return form.render_message_pack(answer, header, names)
    # Not a plain import: workers must not load Arrow for nothing.
    module = importlib.import_module("serving.native.arrow_form")
    rendered: bytes = module.render_arrow(form.request, answer, header, names)
    return rendered
