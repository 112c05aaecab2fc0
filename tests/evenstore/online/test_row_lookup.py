"""One bad entity row is an error of that row; without any, answers are the lookup's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import dill
import pytest
from redis import Redis

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_row import split_slots, view_id
from evenstore.dtypes import Dtype
from evenstore.errors import CorruptRowError, EntityRowsError, FutureRowError, SchemaError
from evenstore.online.column_lookup import ColumnLookup
from evenstore.online.connection import execute, execute_payload
from evenstore.online.lookup import look_up as look_up_strictly
from evenstore.online.row_lookup import EntityRows, RowVectors
from evenstore.online.row_schemas import RowSchemaNeeded, schemas_key
from evenstore.schema.model import (
    FeatureDefault,
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    Layout,
    OnDemandViewSchema,
    Projection,
    RegistrySchema,
)
from evenstore.schema.request import resolve_service
from evenstore.semantics import OnUnavailable, Status
from tests.support.packed_entity import join_slots
from tests.support.stored_rows import write_rows

PROJECT = "rows"
NOW_US = 1_800_000_000_000_000
MINUTE_US = 60_000_000
DRIVER = Field("driver_id", Dtype.INT64)
STATS = FeatureViewSchema(
    "stats", (DRIVER,), (Field("trips", Dtype.INT64), Field("rate", Dtype.FLOAT64)), None
)
PLACE = FeatureViewSchema("place", (DRIVER,), (Field("city", Dtype.STRING),), 10 * MINUTE_US)
GOOD, LATE, OLD, UNKNOWN = 1, 2, 3, 99
BLANK = (None, Status.INVALID, None)


def per_trip(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "fare": [
            None if trips is None else amount / (trips - 20)
            for trips, amount in zip(inputs["trips"], inputs["amount"], strict=True)
        ]
    }


def registry(layout: Layout, **service: Any) -> RegistrySchema:
    fare = OnDemandViewSchema(
        name="per_trip",
        mode="python",
        is_singleton=False,
        inputs=(("stats", "trips"),),
        request_fields=(Field("amount", Dtype.FLOAT64),),
        features=(Field("fare", Dtype.FLOAT64),),
        udf=dill.dumps(per_trip, recurse=True),
        udf_source="",
    )
    stored = (
        Projection("stats", "stats", ("trips", "rate")),
        Projection("place", "place", ("city",)),
    )
    computed = (*stored, Projection("per_trip", "per_trip", ("fare",)))
    services = (
        FeatureServiceSchema("stored", stored, **service),
        FeatureServiceSchema("computed", computed, **service),
    )
    return RegistrySchema(PROJECT, (PLACE, STATS), (fare,), services, layout)


@pytest.fixture
def filled(client: Redis, layout: Layout) -> Redis:
    rows: list[tuple[list[int], dict[str, Any], int]] = [
        ([GOOD], {"trips": 10, "rate": 0.5}, NOW_US - MINUTE_US),
        ([LATE], {"trips": 20, "rate": 1.5}, NOW_US + 10 * MINUTE_US),
        ([OLD], {"trips": 30, "rate": None}, NOW_US - MINUTE_US),
    ]
    write_rows(client, PROJECT, STATS, rows, layout)
    places = [
        ([GOOD], {"city": "Ulm"}, NOW_US),
        ([LATE], {"city": "Bonn"}, NOW_US),
        ([OLD], {"city": "Trier"}, NOW_US - 30 * MINUTE_US),
    ]
    write_rows(client, PROJECT, PLACE, places, layout)
    return client


def look_up(
    client: Redis, schema: RegistrySchema, rows: Sequence[object], service: str = "stored"
) -> RowVectors:
    lookup = ColumnLookup(PROJECT, resolve_service(schema, service), schema.layout)
    entity_rows = EntityRows(lookup, rows)
    batch = entity_rows.batch
    replies = execute_payload(client, batch.payload, batch.n_commands) if batch.n_commands else []
    while True:
        try:
            answer = lookup.finish(batch, replies, as_of_us=NOW_US)
            return entity_rows.spread(answer, as_of_us=NOW_US)
        except RowSchemaNeeded as needed:
            (reply,) = execute(client, [needed.command])
            lookup.learn(batch, needed, reply)


def cells(answer: RowVectors, feature: str) -> list[tuple[Any, Status, int | None]]:
    (column,) = (column for column in answer.columns if column.column.field.name == feature)
    return list(zip(column.values, column.statuses, column.event_us, strict=True))


def drivers(*driver_ids: object, **more: object) -> list[dict[str, object]]:
    return [{"driver_id": driver_id, **more} for driver_id in driver_ids]


def break_row(client: Redis, layout: Layout, driver_id: int, view: FeatureViewSchema) -> None:
    """Overwrite one view's row of an entity with bytes that nothing wrote."""
    if layout is Layout.FEAST:
        key = EntityKeyEncoder([DRIVER], PROJECT).encode([driver_id])
        client.execute_command("HSET", key, f"_ts:{view.name}".encode(), b"\xff\xff")
        return
    key = PackedKeyEncoder([DRIVER], PROJECT).encode([driver_id])
    slots = split_slots(client.execute_command("GET", key))
    slots[view_id(view.name)] = b"\xff\xff"
    client.execute_command("SET", key, join_slots(slots))


def test_good_rows_are_answered_as_the_strict_lookup_does(filled: Redis, layout: Layout) -> None:
    schema = registry(layout)
    rows = drivers(GOOD, UNKNOWN, OLD, GOOD, amount=4.0)
    for service in ("stored", "computed"):
        lookup = ColumnLookup(PROJECT, resolve_service(schema, service), layout)
        columns = {name: [row[name] for row in rows] for name in ("driver_id", "amount")}
        strict = look_up_strictly(filled, lookup, columns, as_of_us=NOW_US)
        answer = look_up(filled, schema, rows, service)
        assert not answer.errors
        assert not answer.is_degraded
        assert [dataclasses.astuple(column) for column in answer.columns] == [
            dataclasses.astuple(column) for column in strict
        ]
        assert answer.keys == {"driver_id": columns["driver_id"]}


def test_each_bad_row_carries_its_own_error(filled: Redis, layout: Layout) -> None:
    rows = [*drivers(GOOD, "1", None, 1.7, 2**63), {}, 7, None, *drivers(OLD)]
    answer = look_up(filled, registry(layout), rows)
    assert cells(answer, "trips") == [
        (10, Status.PRESENT, NOW_US - MINUTE_US),
        *[BLANK] * 7,
        (30, Status.PRESENT, NOW_US - MINUTE_US),
    ]
    assert sorted(answer.errors) == [1, 2, 3, 4, 5, 6, 7]
    assert {type(error) for error in answer.errors.values()} == {EntityRowsError}
    assert all(error.hint for error in answer.errors.values())
    assert "in row 3" in answer.errors[3].message
    assert answer.keys == {"driver_id": [GOOD, *[None] * 7, OLD]}
    assert list(answer.view_event_us) == ["stats", "place"]
    assert answer.view_event_us["place"] == [NOW_US, *[None] * 7, NOW_US - 30 * MINUTE_US]


def test_bad_request_data_is_its_rows_error(filled: Redis, layout: Layout) -> None:
    rows = [*drivers(GOOD, amount=3), *drivers(GOOD, amount="3"), *drivers(GOOD)]
    answer = look_up(filled, registry(layout), rows, "computed")
    assert [value for value, _, _ in cells(answer, "fare")] == [-0.3, None, None]
    assert sorted(answer.errors) == [1, 2]
    assert "`amount`" in answer.errors[1].message
    assert answer.keys == {"driver_id": [GOOD] * 3}, "what could be read is told"


def test_nothing_but_bad_rows_reads_nothing(filled: Redis, layout: Layout) -> None:
    schema = registry(layout)
    lookup = ColumnLookup(PROJECT, resolve_service(schema, "computed"), layout)
    assert EntityRows(lookup, [{}, {}]).batch.n_commands == 0
    answer = look_up(filled, schema, [{}, {}], "computed")
    assert sorted(answer.errors) == [0, 1]
    assert cells(answer, "fare") == [BLANK] * 2


def test_a_row_in_the_future_is_its_own_error(filled: Redis, layout: Layout) -> None:
    answer = look_up(filled, registry(layout), drivers("1", GOOD, LATE, GOOD))
    assert [type(answer.errors.get(i)) for i in range(4)] == [
        EntityRowsError,
        type(None),
        FutureRowError,
        type(None),
    ]
    assert [status for _, status, _ in cells(answer, "trips")] == [
        Status.INVALID,
        Status.PRESENT,
        Status.INVALID,
        Status.PRESENT,
    ]


def test_an_unreadable_row_blanks_its_entity_where_the_service_fails_closed(
    filled: Redis, layout: Layout
) -> None:
    break_row(filled, layout, GOOD, STATS)
    answer = look_up(filled, registry(layout), drivers(OLD, GOOD, GOOD))
    assert sorted(answer.errors) == [1, 2]
    assert all(isinstance(error, CorruptRowError) for error in answer.errors.values())
    assert cells(answer, "city")[1:] == [BLANK] * 2
    assert cells(answer, "trips")[0][0] == 30


def test_an_unreadable_row_leaves_other_views_where_the_service_fails_open(
    filled: Redis, layout: Layout
) -> None:
    break_row(filled, layout, GOOD, STATS)
    defaults = (FeatureDefault("stats", "trips", "-1"), FeatureDefault("per_trip", "fare", "0.5"))
    schema = registry(layout, on_unavailable=OnUnavailable.OPEN, defaults=defaults)
    answer = look_up(filled, schema, drivers(GOOD, OLD, amount=4.0), "computed")
    assert list(answer.errors) == [0]
    assert cells(answer, "trips")[0] == (-1, Status.INVALID, None)
    assert cells(answer, "rate")[0] == BLANK
    assert cells(answer, "fare") == [(0.5, Status.INVALID, None), (0.4, Status.PRESENT, None)]
    assert cells(answer, "city")[0] == ("Ulm", Status.PRESENT, NOW_US)


def test_a_function_that_fails_on_a_row_fails_that_row_alone(filled: Redis, layout: Layout) -> None:
    # Its divisor is zero where there are 20 trips.
    write_rows(filled, PROJECT, STATS, [([4], {"trips": 20}, NOW_US)], layout)
    rows = drivers(GOOD, 4, OLD, UNKNOWN, 4, amount=5.0)
    answer = look_up(filled, registry(layout), rows, "computed")
    assert sorted(answer.errors) == [1, 4]
    assert isinstance(answer.errors[1], SchemaError)
    assert "ZeroDivisionError" in answer.errors[1].message
    assert [value for value, _, _ in cells(answer, "fare")] == [-0.5, None, 0.5, None, None]
    assert cells(answer, "trips")[1] == BLANK, "closed: the row is refused as a whole"

    schema = registry(layout, on_unavailable=OnUnavailable.OPEN)
    answer = look_up(filled, schema, rows, "computed")
    assert sorted(answer.errors) == [1, 4]
    assert cells(answer, "trips")[1] == (20, Status.PRESENT, NOW_US)
    assert cells(answer, "fare")[1] == BLANK


@pytest.mark.parametrize("layout", [Layout.PACKED])
def test_a_row_whose_schema_nobody_knows_is_its_own_error(filled: Redis, layout: Layout) -> None:
    older = dataclasses.replace(STATS, features=(Field("trips", Dtype.INT64),))
    write_rows(filled, PROJECT, older, [([7], {"trips": 70}, NOW_US)], layout)
    known = look_up(filled, registry(layout), drivers(7, GOOD))
    assert not known.errors
    assert [value for value, _, _ in cells(known, "trips")] == [70, 10]

    filled.delete(schemas_key(PROJECT))
    unknown = look_up(filled, registry(layout), drivers(7, GOOD, 7))
    assert sorted(unknown.errors) == [0, 2]
    assert isinstance(unknown.errors[0], CorruptRowError)
    assert [value for value, _, _ in cells(unknown, "trips")] == [None, 10, None]


def test_what_could_not_be_read_at_all_is_answered_by_defaults(layout: Layout) -> None:
    defaults = (FeatureDefault("stats", "trips", "0"), FeatureDefault("per_trip", "fare", "1"))
    schema = registry(layout, on_unavailable=OnUnavailable.OPEN, defaults=defaults)
    lookup = ColumnLookup(PROJECT, resolve_service(schema, "computed"), layout)
    rows = EntityRows(lookup, [*drivers(GOOD, amount=1.0), {}])
    answer = rows.spread(lookup.unavailable(rows.batch), as_of_us=NOW_US, is_degraded=True)
    assert answer.is_degraded
    assert cells(answer, "trips") == [(0, Status.INVALID, None), BLANK]
    assert cells(answer, "rate") == [BLANK, BLANK]
    assert cells(answer, "fare") == [(1.0, Status.INVALID, None), BLANK]
    assert list(answer.errors) == [1]


def test_expired_values_are_given_for_as_long_as_the_service_allows(
    filled: Redis, layout: Layout
) -> None:
    defaults = (FeatureDefault("place", "city", '"?"'),)
    for max_stale_us, value in ((20 * MINUTE_US, "Trier"), (20 * MINUTE_US - 1, "?")):
        schema = registry(layout, max_stale_us=max_stale_us, defaults=defaults)
        answer = look_up(filled, schema, drivers(OLD, *[GOOD] * 30))
        event_us = NOW_US - 30 * MINUTE_US
        assert cells(answer, "city")[0] == (value, Status.OUTSIDE_MAX_AGE, event_us)
        assert cells(answer, "city")[1] == ("Ulm", Status.PRESENT, NOW_US)


def test_views_read_for_an_on_demand_view_alone_have_their_event_timestamps(
    filled: Redis, layout: Layout
) -> None:
    registered = registry(layout, on_unavailable=OnUnavailable.OPEN)
    computed = FeatureServiceSchema("fare", (Projection("per_trip", "per_trip", ("fare",)),))
    schema = dataclasses.replace(registered, feature_services=(computed,))
    rows = [*drivers(GOOD, "1", UNKNOWN, amount=4.0)]
    answer = look_up(filled, schema, rows, "fare")
    assert [column.column.view_name for column in answer.columns] == ["per_trip"]
    assert [*answer.columns[0].event_us] == [None] * 3
    assert {name: [*column] for name, column in answer.view_event_us.items()} == {
        "stats": [NOW_US - MINUTE_US, None, None]
    }

    lookup = ColumnLookup(PROJECT, resolve_service(schema, "fare"), layout)
    entity_rows = EntityRows(lookup, rows)
    away = lookup.unavailable(entity_rows.batch)
    degraded = entity_rows.spread(away, as_of_us=NOW_US, is_degraded=True)
    assert degraded.view_event_us == {"stats": [None] * 3}


def test_rows_without_keys_are_as_many_as_were_sent(filled: Redis, layout: Layout) -> None:
    rates = FeatureViewSchema("rates", (), (Field("euro", Dtype.FLOAT64),), None)
    write_rows(filled, PROJECT, rates, [([], {"euro": 1.5}, NOW_US)], layout)
    service = FeatureServiceSchema("rates", (Projection("rates", "rates", ("euro",)),))
    schema = RegistrySchema(PROJECT, (rates,), (), (service,), layout)
    for n_rows in (3, 1, 0):
        answer = look_up(filled, schema, [{}] * n_rows, "rates")
        assert answer.n_rows == n_rows
        assert cells(answer, "euro") == [(1.5, Status.PRESENT, NOW_US)] * n_rows
    lookup = ColumnLookup(PROJECT, resolve_service(schema, "rates"), layout)
    assert EntityRows(lookup, []).batch.n_commands == 0


def test_rows_of_one_entity_are_answered_in_their_places(filled: Redis, layout: Layout) -> None:
    answer = look_up(filled, registry(layout), drivers(OLD, "x", GOOD, OLD, GOOD, *[UNKNOWN] * 30))
    values = [value for value, _, _ in cells(answer, "trips")]
    assert values == [30, None, 10, 30, 10, *[None] * 30]


def test_the_first_function_that_fails_on_a_row_is_its_error(filled: Redis, layout: Layout) -> None:
    first, second = (
        OnDemandViewSchema(
            name=name,
            mode="python",
            is_singleton=False,
            inputs=(("stats", "trips"),),
            request_fields=(),
            features=(Field(f"by_{name}", Dtype.FLOAT64),),
            udf=dill.dumps(fail, recurse=True),
            udf_source="",
        )
        for name in ("first", "second")
    )
    projections = tuple(
        Projection(view.name, view.name, (view.features[0].name,)) for view in (first, second)
    )
    schema = RegistrySchema(
        PROJECT,
        (STATS,),
        (first, second),
        (FeatureServiceSchema("both", projections),),
        layout,
    )
    answer = look_up(filled, schema, drivers(GOOD), "both")
    assert "`first`" in answer.errors[0].message


def fail(_inputs: dict[str, Any]) -> dict[str, Any]:
    raise ValueError
