"""The gateway without HTTP: from a parsed request to the bytes of its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from evenstore.clock import Clock
from evenstore.online.lookup import FeatureVectors, LookupBatch
from evenstore.online.row_schemas import RowSchemaNeeded
from serving.errors import InvalidRequestError, RequestTooLargeError
from serving.models import OnlineFeaturesRequest
from serving.online_reader import OnlineReader
from serving.plans import Plans, ReadPlan
from serving.settings import Limits

__all__ = ["Answer", "Gateway", "parse_request"]

_REFERENCE_PARTS = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's JSON and the instant it holds for."""

    body: bytes
    as_of_us: int


class Gateway:
    """What one worker answers from. `plans` may be replaced at any time, as a whole."""

    def __init__(self, plans: Plans, reader: OnlineReader, clock: Clock, limits: Limits) -> None:
        self.plans = plans
        self.reader = reader
        self.clock = clock
        self.limits = limits

    async def get_online_features(self, body: bytes) -> Answer:
        """Answer one request in Feast's form; its instant is now, for every view it reads.

        Raises:
            InvalidRequestError: The body has not the form of a request.
            RequestTooLargeError: It asks for more than the limits allow.
            UnknownFeatureServiceError: The registry has no such service.
            UnknownFeatureError: The registry has no such view or feature.
            EntityRowsError: A column is missing or a value has not the declared type.
            OnlineStoreError: Redis failed.
        """
        as_of_us = self.clock.now_us()
        request = parse_request(body)
        plan = self._plan(request)
        plan.form.check_names(full_feature_names=request.full_feature_names)
        self._check_size(plan, request.entities)
        batch = plan.lookup.begin(plan.form.read_columns(request.entities))
        if batch.n_rows == 0:
            msg = "no entity rows"
            raise InvalidRequestError(msg, hint="send at least one value per join key")
        vectors = await self._look_up(batch, as_of_us)
        rendered = plan.form.render(
            vectors,
            full_feature_names=request.full_feature_names,
            lists_views=request.include_feature_view_version_metadata,
        )
        return Answer(rendered, as_of_us)

    async def _look_up(self, batch: LookupBatch, as_of_us: int) -> FeatureVectors:
        replies = await self.reader.read(batch.commands)
        while True:
            try:
                return batch.finish(replies, as_of_us=as_of_us)
            except RowSchemaNeeded as needed:  # Once per schema: the answer is kept.
                (reply,) = await self.reader.read([needed.command])
                batch.learn(needed, reply)

    def _plan(self, request: OnlineFeaturesRequest) -> ReadPlan:
        if request.feature_service is not None:
            return self.plans.for_service(request.feature_service)
        if len(request.features) > self.limits.max_features:
            msg = (
                f"{len(request.features)} features, at most {self.limits.max_features} are allowed"
            )
            raise RequestTooLargeError(msg, hint="split the list, or name a feature service")
        _check_references(request.features)
        return self.plans.for_references(tuple(request.features))

    def _check_size(self, plan: ReadPlan, entities: dict[str, list[Any]]) -> None:
        n_rows = max((len(values) for values in entities.values()), default=0)
        n_values = n_rows * len(plan.request.columns)
        limits = self.limits
        if n_rows > limits.max_entity_rows:
            msg = f"{n_rows} entity rows, at most {limits.max_entity_rows} are allowed"
        elif n_values > limits.max_values:
            msg = f"{n_values} values asked for, at most {limits.max_values} are allowed"
        else:
            return
        raise RequestTooLargeError(msg, hint="send fewer entity rows in each of several requests")


def parse_request(body: bytes) -> OnlineFeaturesRequest:
    """Parse a request's JSON, whatever its content type says: Feast's callers often send none.

    Raises:
        InvalidRequestError: The body is not JSON, or has not the form of a request.
    """
    try:
        request = OnlineFeaturesRequest.model_validate_json(body)
    except ValidationError as exc:
        problems = [
            {"where": ".".join(str(part) for part in problem["loc"]), "problem": problem["msg"]}
            for problem in exc.errors(include_url=False, include_input=False)
        ]
        first = problems[0]
        where = f" at `{first['where']}`" if first["where"] else ""
        msg = f"not a request for online features{where}: {first['problem']}"
        raise InvalidRequestError(
            msg,
            hint='for example {"feature_service": "...", "entities": {"customer_id": [1]}}',
            problems=problems,
        ) from exc
    if request.feature_service is None and not request.features:
        msg = "no features were asked for"
        raise InvalidRequestError(
            msg, hint="name a `feature_service`, or `features` like `view:feature`"
        )
    return request


def _check_references(references: Sequence[str]) -> None:
    repeated = [reference for reference, count in Counter(references).items() if count > 1]
    if repeated:
        msg = f"asked for twice: {', '.join(f'`{reference}`' for reference in repeated)}"
        raise InvalidRequestError(msg, hint="ask for each feature once")
    for reference in references:
        parts = reference.split(":")
        if len(parts) != _REFERENCE_PARTS or not all(parts):
            msg = f"not a feature reference: {reference!r}"
            raise InvalidRequestError(msg, hint="write `view:feature`")
        if "@" in parts[0]:
            msg = f"pinned feature view versions are not supported yet: {reference!r}"
            raise InvalidRequestError(msg, hint="ask for the view without `@`")
