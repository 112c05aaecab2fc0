"""Everything about the requests of one registry schema that can be done before they come."""

from __future__ import annotations

import dataclasses
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar

from evenstore.errors import EvenstoreError, SchemaError, UnknownFeatureServiceError
from evenstore.online.column_lookup import ColumnLookup
from evenstore.schema.degradation import fails_open
from evenstore.schema.model import RegistrySchema
from evenstore.schema.request import (
    FeatureRequest,
    resolve_references,
    resolve_service,
    split_reference,
)
from serving.errors import InvalidRequestError
from serving.feast_json import FeastForm
from serving.hot.feast_renderer import FeastRenderer
from serving.hot.known_bodies import KnownBodies
from serving.telemetry.metrics import Metrics, ViewMetrics

__all__ = ["Asked", "Plans", "ReadPlan"]

logger = logging.getLogger("evenstore.serving")

_MAX_REFERENCE_PLANS = 256

_Kept = TypeVar("_Kept")

CountedView = tuple[ViewMetrics, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """One prepared request: what to read, how to decode it, how to render it.

    Attributes:
        request: What is asked for.
        columns: Reads it, column by column.
        form: How values are read from and written to JSON.
        renderer: Renders Feast's form.
        key_names: The entity columns.
        fails_open: Whether declared defaults are answered when the online store is away.
    """

    request: FeatureRequest
    columns: ColumnLookup
    form: FeastForm
    renderer: FeastRenderer
    key_names: tuple[str, ...]
    fails_open: bool
    _counted: list[CountedView] = field(default_factory=list)

    def counted_views(self, metrics: Metrics) -> list[CountedView]:
        """Return where each view's values are counted, and which columns are its own."""
        if not self._counted:
            places: dict[str, list[int]] = {}
            for i, column in enumerate(self.request.columns):
                places.setdefault(column.view_name, []).append(i)
            self._counted.extend(
                (metrics.view(name), tuple(columns)) for name, columns in places.items()
            )
        return self._counted


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, without its entity rows.

    Attributes:
        plan: How it is answered.
        full_feature_names: Whether features are named `view__feature`.
        lists_views: Whether the metadata names the feature views read.
    """

    plan: ReadPlan
    full_feature_names: bool
    lists_views: bool


class Plans:
    """The prepared requests of one schema: all feature services, and references as they are asked.

    Made whenever the schema changes, in a thread; afterwards used by the event loop only. A request
    keeps the plans it began with, so replacing them never disturbs one. The 256 lists of references
    used last stay prepared, and of as many others it is remembered why they cannot be.
    """

    def __init__(self, schema: RegistrySchema) -> None:
        self.schema = schema
        self.fingerprint = schema.fingerprint
        self.known_bodies: KnownBodies[Asked] = KnownBodies()
        self._services: dict[str, ReadPlan | EvenstoreError] = {}
        for service in schema.feature_services:
            self._services[service.name] = self._prepare_service(service.name)
        self._references: OrderedDict[tuple[str, ...], ReadPlan] = OrderedDict()
        self._refused: OrderedDict[tuple[str, ...], EvenstoreError] = OrderedDict()

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
            raise _anew(plan)
        return plan

    def for_references(self, references: tuple[str, ...]) -> ReadPlan:
        """Return the plan of a list of `view:feature` references, making it at the first use.

        Raises:
            InvalidRequestError: A version is pinned, and the registry keeps none.
            UnknownFeatureError: A view, version or feature is not registered.
            SchemaError: The definitions cannot be served together.
        """
        plan = self.prepared(references)
        if plan is not None:
            return plan
        refusal = self._refused.get(references)
        if refusal is not None:
            self._refused.move_to_end(references)
            raise _anew(refusal)
        try:
            self._refuse_versions(references)
            plan = self._prepare(resolve_references(self.schema, references))
        except EvenstoreError as exc:
            # A caller that asks in a loop costs no more than one that is answered.
            _keep(self._refused, references, exc)
            raise
        _keep(self._references, references, plan)
        return plan

    def prepared(self, references: tuple[str, ...]) -> ReadPlan | None:
        """Return the plan of references that were asked for before, or None."""
        plan = self._references.get(references)
        if plan is not None:
            self._references.move_to_end(references)
        return plan

    def _refuse_versions(self, references: tuple[str, ...]) -> None:
        if self.schema.keeps_versions:
            return
        for reference in references:
            if "@" in split_reference(reference)[0]:
                msg = f"the registry keeps no rows of feature view versions: {reference!r}"
                raise InvalidRequestError(msg, hint="ask for the view without `@`")

    def _prepare_service(self, name: str) -> ReadPlan | EvenstoreError:
        try:
            return self._prepare(resolve_service(self.schema, name))
        except EvenstoreError as exc:
            logger.warning("feature service `%s` cannot be served: %s", name, exc.message)
            return exc

    def _prepare(self, request: FeatureRequest) -> ReadPlan:
        try:
            return self._make(request)
        except (EvenstoreError, RecursionError, MemoryError):
            raise
        except Exception as exc:  # Unpickling an on-demand function runs its author's imports.
            msg = f"`{request.name}` cannot be prepared: {type(exc).__name__}: {exc}"
            raise SchemaError(
                msg, hint="is every module that its on-demand views import installed here?"
            ) from exc

    def _make(self, request: FeatureRequest) -> ReadPlan:
        project, layout = self.schema.project, self.schema.layout
        form = FeastForm(request)
        return ReadPlan(
            request=request,
            columns=ColumnLookup(project, _as_stored(request), layout),
            form=form,
            renderer=FeastRenderer(request, form),
            key_names=tuple(field.name for field in request.entity_columns),
            fails_open=fails_open(request),
        )


def _as_stored(request: FeatureRequest) -> FeatureRequest:
    """Return a request that reads views under the names of their rows."""
    reads = tuple(dataclasses.replace(read, view=read.view.stored()) for read in request.reads)
    return dataclasses.replace(request, reads=reads)


def _keep(
    kept: OrderedDict[tuple[str, ...], _Kept], references: tuple[str, ...], item: _Kept
) -> None:
    kept[references] = item
    if len(kept) > _MAX_REFERENCE_PLANS:
        kept.popitem(last=False)


def _anew(error: EvenstoreError) -> EvenstoreError:
    """Return an error to be raised again: with every raise its traceback would get longer."""
    return error.with_traceback(None)
