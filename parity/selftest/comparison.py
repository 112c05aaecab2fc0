"""The comparisons that must find the faults: the full one of a view, and a gateway's in process.

Nothing here compares by itself: values, outcomes, verdicts and causes come from the same code as
those of the other commands. Only what stands for a gateway that is at fault is of our making: it
reads the same Redis by a schema of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.offline.history import read_history
from evenstore.online.column_lookup import ColumnLookup
from evenstore.online.lookup import look_up
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.request import Column, FeatureRequest
from evenstore.semantics import Knowledge, Status
from parity.causes.cell_command import open_cell_command
from parity.causes.cell_comparison import AskedCell, compare_cell
from parity.causes.find import CauseContext, find_causes
from parity.causes.store_evidence import StoreEvidence
from parity.causes.stored_entities import to_plain
from parity.compare import Cell, compare_cells
from parity.full.result import run_full
from parity.full.settings import FullSettings
from parity.report import Difference, ParityReport, Verdict
from parity.selftest.definitions import LAYOUT, PROJECT, SERVICE
from parity.selftest.rows import HOUR, NOW, PLAIN
from parity.selftest.world import STATS, World
from parity.values import decode_offline

__all__ = [
    "Look",
    "compare_after_an_hour",
    "compare_as_version",
    "compare_products",
    "compare_service",
    "compare_stats",
    "serve_edited_view",
    "serve_unedited",
]

Look = Callable[[World], Sequence[Difference]]
"""Compares both stores; empty where the gate would have passed."""

_NOW_US = datetime_to_us(NOW)
_AMOUNT = 10.5
_AS_OF_COLUMN = "_parity_as_of"


def compare_stats(world: World) -> Sequence[Difference]:
    """Compare every customer in both directions."""
    return _compare_view(world, STATS)


def compare_products(world: World) -> Sequence[Difference]:
    """Compare every product in both directions."""
    return _compare_view(world, "products")


def compare_after_an_hour(world: World) -> Sequence[Difference]:
    """Compare an hour later, when rows that are due have not been loaded."""
    settings = FullSettings(world.path, STATS, until_watermark=False, min_coverage=0.0)
    instant_us = datetime_to_us(NOW + HOUR)
    return _differences(run_full(settings, FrozenClock(instant_us)))


def compare_as_version(world: World) -> Sequence[Difference]:
    """Compare the first version of the offers, for one customer."""
    asked = AskedCell(world.path, "offers@v0", {"customer_id": str(PLAIN)}, _NOW_US)
    return [
        Difference(
            outcome=feature.outcome,
            view_name=feature.column.view_name,
            feature=feature.column.field.name,
            dtype=feature.column.field.dtype,
            row_idx=0,
            entity_key={"customer_id": PLAIN},
            as_of_us=_NOW_US,
            offline=feature.offline,
            online=feature.online,
            finding=feature.finding,
        )
        for feature in compare_cell(asked).differences
    ]


def compare_service(world: World) -> Sequence[Difference]:
    """Compare the feature service, on-demand features included, for every customer."""
    return _compare_served(world, world.request)


def serve_unedited(world: World) -> Sequence[Difference]:
    """Compare with a gateway that still runs the definitions of before the edit."""
    return _compare_served(world, world.request_before_edit)


def serve_edited_view(edit: Callable[[FeatureViewSchema], FeatureViewSchema]) -> Look:
    """Compare with a gateway that has another schema of the customers' view.

    Args:
        edit: Makes that schema of the right one.
    """

    def look(world: World) -> Sequence[Difference]:
        request = world.request
        reads = tuple(replace(read, view=edit(read.view)) for read in request.reads)
        return _compare_served(world, replace(request, reads=reads))

    return look


def _compare_view(world: World, view: str) -> Sequence[Difference]:
    settings = FullSettings(world.path, view, min_coverage=0.0)
    return _differences(run_full(settings, FrozenClock(_NOW_US)))


def _differences(report: ParityReport) -> Sequence[Difference]:
    # What does not turn the gate red is not found.
    return () if report.verdict is Verdict.PASSED else tuple(report.differences)


def _compare_served(world: World, served: FeatureRequest) -> Sequence[Difference]:
    request = world.request
    customers = world.customers
    offline = _read_offline(world, request, customers)
    online = _read_online(world, served, customers)
    differences = [
        Difference(
            outcome=outcome,
            view_name=column.view_name,
            feature=column.field.name,
            dtype=column.field.dtype,
            row_idx=i,
            entity_key={"customer_id": customer, "amount": _AMOUNT},
            as_of_us=_NOW_US,
            offline=offline[column][i],
            online=online[column][i],
        )
        for i, customer in enumerate(customers)
        for column in request.columns
        if not (outcome := compare_cells(offline[column][i], online[column][i])).is_agreement
    ]
    command = open_cell_command(world.path, feature_service=SERVICE)
    context = CauseContext(request, StoreEvidence(world.store), command)
    findings = find_causes(differences, context)
    return [
        replace(difference, finding=finding)
        for difference, finding in zip(differences, findings, strict=True)
    ]


def _read_offline(
    world: World, request: FeatureRequest, customers: Sequence[int]
) -> Mapping[Column, list[Cell]]:
    n_rows = len(customers)
    entities = pa.table(
        {
            "customer_id": pa.array(customers, pa.int64()),
            "amount": pa.array([_AMOUNT] * n_rows, pa.float64()),
            _AS_OF_COLUMN: pa.array([_NOW_US] * n_rows, pa.timestamp("us", tz="UTC")),
        }
    )
    table = read_history(
        world.store,
        request,
        entities,
        knowledge=Knowledge.LATEST_TRUTH,
        event_timestamp_column=_AS_OF_COLUMN,
    )
    cells = {}
    for column in request.columns:
        name = column.output_name(full_feature_names=True)
        statuses = [Status(status) for status in table[f"{name}__status"].to_pylist()]
        event_us = table[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist()
        values = decode_offline(column.field.dtype, table[name], statuses, where=name)
        cells[column] = [*map(Cell, values, statuses, event_us)]
    return cells


def _read_online(
    world: World, served: FeatureRequest, customers: Sequence[int]
) -> Mapping[Column, list[Cell]]:
    columns = look_up(
        world.redis,
        ColumnLookup(PROJECT, served, LAYOUT),
        {"customer_id": customers, "amount": [_AMOUNT] * len(customers)},
        as_of_us=_NOW_US,
    )
    return {
        answer.column: [
            Cell(to_plain(value, answer.column.field.dtype), status, event_us)
            for value, status, event_us in zip(
                answer.values, answer.statuses, answer.event_us, strict=True
            )
        ]
        for answer in columns
    }
