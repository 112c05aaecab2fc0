"""Draws a golden set from an offline store."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from feast import FeatureStore

from evenstore.clock import Clock
from evenstore.errors import ParityError
from evenstore.offline.history import describe_entities
from evenstore.progress import open_progress
from evenstore.schema.compile import compile_store
from evenstore.schema.repository import open_repository
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Knowledge
from parity.golden import GoldenSet, StratumCount, draw_golden_set, strata_of_rows
from parity.golden_set.as_known import read_as_known
from parity.golden_set.golden_file import FrozenFeature, GoldenFile
from parity.golden_set.instants import BoundaryRow, choose_instants, find_boundaries
from parity.golden_set.settings import BuildSettings
from parity.strata import Boundary, ViewEntities, classify_entities
from parity.values import PlainValue

__all__ = ["build_golden_set"]


def build_golden_set(settings: BuildSettings, clock: Clock) -> GoldenFile:
    """Draw entity rows with their instants, and freeze their values where that is asked for.

    Reads the registry and the sources, and writes nothing.

    Guarantees:
        The same registry, rows known by the instants, seed and settings give the same set.

    Raises:
        ConfigurationError: The folder is no Feast repo.
        UnknownFeatureServiceError: The registry has no such service.
        ParityError: An instant lies ahead, or there is nothing to draw.
        OfflineStoreError: The sources cannot be read.
    """
    store = open_repository(settings.repo)
    request = resolve_service(compile_store(store), settings.feature_service)
    now_us = clock.now_us()
    draw = _Draw(store, request, settings)
    instants_us = settings.as_of_us or draw.choose_instants(now_us)
    if max(instants_us) > now_us:
        msg = "an instant of the golden set lies ahead"
        raise ParityError(msg, hint="what will be known then may still change: name earlier ones")
    golden = draw.draw(tuple(sorted(set(instants_us))))
    if not settings.is_frozen:
        return golden
    with open_progress("freezing values", total=golden.n_rows) as progress:
        cells = read_as_known(store, request, golden.columns, golden.as_of_us)
        progress.advance(golden.n_rows)
    features = [
        dataclasses.replace(feature, expected=column)
        for feature, column in zip(golden.features, cells, strict=True)
    ]
    return dataclasses.replace(golden, features=tuple(features))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Entity rows of one instant, or of the boundaries."""

    columns: Mapping[str, Sequence[PlainValue]]
    as_of_us: tuple[int, ...]
    strata: tuple[Mapping[str, tuple[str, ...]], ...]


class _Draw:
    """One draw; describes each view once per instant."""

    def __init__(
        self, store: FeatureStore, request: FeatureRequest, settings: BuildSettings
    ) -> None:
        self._store = store
        self._request = request
        self._settings = settings

    def choose_instants(self, now_us: int) -> tuple[int, ...]:
        return choose_instants(
            self._request.reads,
            self._describe(now_us),
            now_us=now_us,
            n_instants=self._settings.n_instants,
        )

    def draw(self, instants_us: Sequence[int]) -> GoldenFile:
        parts: list[_Rows] = []
        counts: list[StratumCount] = []
        for as_of_us in instants_us:
            described = self._describe(as_of_us)
            views = [
                classify_entities(read, table, as_of_us=as_of_us)
                for read, table in zip(self._request.reads, described, strict=True)
            ]
            drawn = draw_golden_set(
                self._request,
                views,
                n_rows=self._settings.n_entity_rows,
                seed=self._settings.seed,
            )
            counts = _add_counts(counts, drawn.strata)
            parts.append(_drawn_rows(drawn, views, as_of_us))
            if as_of_us == instants_us[-1]:
                boundaries = find_boundaries(
                    self._request.reads,
                    views,
                    described,
                    last_us=as_of_us,
                    seed=self._settings.seed,
                )
                parts.append(_boundary_rows(boundaries, views, parts[-1]))
                counts += _count_boundaries(views, boundaries)
        return self._assemble(parts, counts)

    def _describe(self, as_of_us: int) -> list[pa.Table]:
        described: dict[str, pa.Table] = {}
        reads = self._request.reads
        with open_progress("entities", total=len(reads), unit="views") as progress:
            for read in reads:
                if read.view.name not in described:
                    described[read.view.name] = describe_entities(
                        self._store, read.view, as_of_us=as_of_us, knowledge=Knowledge.AS_KNOWN
                    )
                progress.advance()
        return [described[read.view.name] for read in reads]

    def _assemble(self, parts: Sequence[_Rows], counts: Sequence[StratumCount]) -> GoldenFile:
        request = self._request
        fields = (*request.entity_columns, *request.request_fields)
        as_of_us = [instant_us for part in parts for instant_us in part.as_of_us]
        strata = [row for part in parts for row in part.strata]
        columns = {
            field.name: [value for part in parts for value in part.columns[field.name]]
            for field in fields
        }
        order = sorted(range(len(as_of_us)), key=as_of_us.__getitem__)
        return GoldenFile(
            project=self._store.project,
            feature_service=request.name,
            schema_fingerprint=request.fingerprint,
            seed=self._settings.seed,
            fields=fields,
            features=tuple(
                FrozenFeature(column.view_name, column.field) for column in request.columns
            ),
            columns={name: [values[i] for i in order] for name, values in columns.items()},
            as_of_us=tuple(as_of_us[i] for i in order),
            row_strata=tuple(strata[i] for i in order),
            strata=tuple(counts),
        )


def _drawn_rows(drawn: GoldenSet, views: Sequence[ViewEntities], as_of_us: int) -> _Rows:
    names = list(drawn.columns)
    rows: list[dict[str, Any]] = [
        dict(zip(names, row, strict=True))
        for row in zip(*(drawn.columns[name] for name in names), strict=True)
    ]
    by_view = [(view.view_name, strata_of_rows(view, rows)) for view in views if view.key_columns]
    strata = tuple(
        {name: tuple(sorted(stratum.value for stratum in found[i])) for name, found in by_view}
        for i in range(drawn.n_rows)
    )
    return _Rows(drawn.columns, (as_of_us,) * drawn.n_rows, strata)


def _boundary_rows(
    boundaries: Sequence[BoundaryRow], views: Sequence[ViewEntities], beside: _Rows
) -> _Rows:
    """Make entity rows of the boundaries; what they do not name is as in drawn rows."""
    key_columns = {view.view_name: view.key_columns for view in views}
    columns: dict[str, list[PlainValue]] = {name: [] for name in beside.columns}
    for i, row in enumerate(boundaries):
        named = dict(zip(key_columns[row.read.output_name], row.key, strict=True))
        for name, drawn in beside.columns.items():
            columns[name].append(named.get(name, drawn[i % len(drawn)]))
    return _Rows(
        columns,
        tuple(row.as_of_us for row in boundaries),
        tuple({row.read.output_name: (row.boundary.value,)} for row in boundaries),
    )


def _add_counts(counts: Sequence[StratumCount], more: Sequence[StratumCount]) -> list[StratumCount]:
    """Add the rows of one more instant; there are as many entities as at the latest one."""
    n_rows = Counter({(count.view_name, count.stratum): count.n_rows for count in counts})
    return [
        dataclasses.replace(count, n_rows=count.n_rows + n_rows[count.view_name, count.stratum])
        for count in more
    ]


def _count_boundaries(
    views: Sequence[ViewEntities], boundaries: Sequence[BoundaryRow]
) -> list[StratumCount]:
    n_rows = Counter((row.read.output_name, row.boundary) for row in boundaries)
    return [
        StratumCount(view.view_name, boundary, 0, n_rows[view.view_name, boundary])
        for view in views
        for boundary in Boundary
    ]
