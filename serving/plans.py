"""Everything about the requests of one registry schema that can be done before they come."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

from evenstore.errors import EvenstoreError, SchemaError, UnknownFeatureServiceError
from evenstore.online.lookup import OnlineLookup
from evenstore.schema.model import RegistrySchema
from evenstore.schema.request import FeatureRequest, resolve_references, resolve_service
from serving.feast_json import FeastForm

__all__ = ["Plans", "ReadPlan"]

logger = logging.getLogger("evenstore.serving")

_MAX_REFERENCE_PLANS = 256


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """One prepared request: what to read, how to decode it, how to render it."""

    request: FeatureRequest
    lookup: OnlineLookup
    form: FeastForm


class Plans:
    """The prepared requests of one schema: all feature services, and references as they are asked.

    Made whenever the schema changes, in a thread; afterwards used by the event loop only. A request
    keeps the plans it began with, so replacing them never disturbs one. The 256 lists of references
    used last stay prepared.
    """

    def __init__(self, schema: RegistrySchema) -> None:
        self.schema = schema
        self.fingerprint = schema.fingerprint
        self._services: dict[str, ReadPlan | EvenstoreError] = {}
        for service in schema.feature_services:
            self._services[service.name] = self._prepare_service(service.name)
        self._references: OrderedDict[tuple[str, ...], ReadPlan] = OrderedDict()

    def for_service(self, name: str) -> ReadPlan:
        """Return the plan of a feature service.

        Raises:
            UnknownFeatureServiceError: The registry has no such service.
            EvenstoreError: The service's definition cannot be served; other services can.
        """
        plan = self._services.get(name)
        if plan is None:
            raise UnknownFeatureServiceError(name, self._services)
        if isinstance(plan, EvenstoreError):
            raise plan
        return plan

    def for_references(self, references: tuple[str, ...]) -> ReadPlan:
        """Return the plan of a list of `view:feature` references, making it at the first use.

        Raises:
            UnknownFeatureError: A view or feature is not registered.
            SchemaError: The definitions cannot be served together.
        """
        plan = self._references.get(references)
        if plan is not None:
            self._references.move_to_end(references)
            return plan
        plan = self._prepare(resolve_references(self.schema, references))
        self._references[references] = plan
        if len(self._references) > _MAX_REFERENCE_PLANS:
            self._references.popitem(last=False)
        return plan

    def _prepare_service(self, name: str) -> ReadPlan | EvenstoreError:
        try:
            return self._prepare(resolve_service(self.schema, name))
        except EvenstoreError as exc:
            logger.warning("feature service `%s` cannot be served: %s", name, exc.message)
            return exc

    def _prepare(self, request: FeatureRequest) -> ReadPlan:
        try:
            lookup = OnlineLookup(self.schema.project, request, self.schema.layout)
        except EvenstoreError:
            raise
        except Exception as exc:  # Unpickling an on-demand function runs its author's imports.
            msg = f"`{request.name}` cannot be prepared: {type(exc).__name__}: {exc}"
            raise SchemaError(
                msg, hint="is every module that its on-demand views import installed here?"
            ) from exc
        return ReadPlan(request, lookup, FeastForm(request))
