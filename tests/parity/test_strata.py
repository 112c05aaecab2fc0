from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.request import ViewRead
from evenstore.semantics import TtlEnforcement
from parity.strata import Stratum, classify_entities

AS_OF_US = 1_000_000_000
TTL_US = 1_000
CUSTOMER = Field("customer_id", Dtype.INT64)
PRODUCT = Field("product", Dtype.STRING)


def read_of(
    *keys: Field, enforcement: TtlEnforcement = TtlEnforcement.ENFORCE, ttl_us: int | None = TTL_US
) -> ViewRead:
    features = (Field("orders", Dtype.INT64),)
    view = FeatureViewSchema("activity", keys, features, ttl_us, enforcement)
    return ViewRead(view, "activity", tuple(key.name for key in keys), features)


def entity_table(
    n_rows: Sequence[int],
    *,
    event_us: Sequence[int] | None = None,
    has_null: Sequence[bool] | None = None,
    is_ambiguous: Sequence[bool] | None = None,
) -> pa.Table:
    n_entities = len(n_rows)
    return pa.table(
        {
            "customer_id": pa.array(range(n_entities), pa.int64()),
            "n_rows": pa.array(n_rows, pa.int64()),
            "event_us": pa.array(event_us or [AS_OF_US] * n_entities, pa.int64()),
            "has_null": pa.array(has_null or [False] * n_entities, pa.bool_()),
            "is_ambiguous": pa.array(is_ambiguous or [False] * n_entities, pa.bool_()),
        }
    )


def members(table: pa.Table, read: ViewRead, stratum: Stratum) -> list[object]:
    entities = classify_entities(read, table, as_of_us=AS_OF_US)
    mask = entities.members[stratum]
    return [key[0] for key, is_member in zip(entities.keys, mask, strict=True) if is_member]


def test_entity_with_most_rows_is_hot_and_those_with_fewest_are_cold() -> None:
    table = entity_table([5, 1, 5, 5, 90, 5, 5, 5, 5, 5])
    assert members(table, read_of(CUSTOMER), Stratum.HOT) == [4]
    assert members(table, read_of(CUSTOMER), Stratum.COLD) == [1]
    assert members(table, read_of(CUSTOMER), Stratum.ORDINARY) == [0, 2, 3, 5, 6, 7, 8, 9]


def test_nobody_is_hot_or_cold_when_all_have_equally_many_rows() -> None:
    table = entity_table([3, 3, 3])
    assert members(table, read_of(CUSTOMER), Stratum.HOT) == []
    assert members(table, read_of(CUSTOMER), Stratum.COLD) == []


def test_entity_is_expired_one_microsecond_after_its_ttl_and_not_at_it() -> None:
    table = entity_table([1, 1], event_us=[AS_OF_US - TTL_US, AS_OF_US - TTL_US - 1])
    assert members(table, read_of(CUSTOMER), Stratum.EXPIRED) == [1]


@pytest.mark.parametrize(
    "read",
    [read_of(CUSTOMER, ttl_us=None), read_of(CUSTOMER, enforcement=TtlEnforcement.SHADOW)],
)
def test_nobody_is_expired_where_no_ttl_is_enforced(read: ViewRead) -> None:
    assert members(entity_table([1], event_us=[0]), read, Stratum.EXPIRED) == []


def test_null_and_tie_come_from_the_newest_row_and_expired_entities_are_neither() -> None:
    table = entity_table(
        [1] * 4,
        event_us=[AS_OF_US, AS_OF_US, 0, AS_OF_US],
        has_null=[True, False, True, True],
        is_ambiguous=[False, True, True, True],
    )
    assert members(table, read_of(CUSTOMER), Stratum.NULL) == [0, 3]
    assert members(table, read_of(CUSTOMER), Stratum.TIE) == [1, 3]
    assert members(table, read_of(CUSTOMER), Stratum.EXPIRED) == [2]
    assert members(table, read_of(CUSTOMER), Stratum.ORDINARY) == []


def test_every_entity_is_in_a_stratum_and_unknown_keys_are_in_none() -> None:
    entities = classify_entities(read_of(CUSTOMER), entity_table([1, 2, 9]), as_of_us=AS_OF_US)
    found = entities.strata_of({(0,), (1,), (2,), (77,)})
    assert set(found) == {(0,), (1,), (2,)}
    assert all(found.values())
    assert entities.n_entities(Stratum.UNKNOWN) == 0
    assert entities.n_entities(Stratum.HOT) == 1


def test_empty_view_has_no_entities() -> None:
    entities = classify_entities(read_of(CUSTOMER), entity_table([]), as_of_us=AS_OF_US)
    assert entities.keys == []
    assert entities.n_entities(Stratum.ORDINARY) == 0


def test_composite_keys_follow_the_sorted_columns_of_the_caller() -> None:
    table = entity_table([1]).append_column("product", pa.array(["85123A"]))
    read = ViewRead(read_of(PRODUCT, CUSTOMER).view, "activity", ("product", "buyer"), (CUSTOMER,))
    entities = classify_entities(read, table, as_of_us=AS_OF_US)
    assert entities.key_columns == ("buyer", "product")
    assert entities.keys == [(0, "85123A")]


def test_null_join_key_names_no_entity() -> None:
    table = entity_table([1, 1]).set_column(0, "customer_id", pa.array([None, 7], pa.int64()))
    entities = classify_entities(read_of(CUSTOMER), table, as_of_us=AS_OF_US)
    assert entities.keys == [(7,)]


def test_entityless_view_has_the_one_empty_key() -> None:
    table = entity_table([1]).drop_columns("customer_id")
    entities = classify_entities(read_of(), table, as_of_us=AS_OF_US)
    assert (entities.key_columns, entities.keys) == ((), [()])


def test_join_key_of_another_type_is_refused() -> None:
    table = entity_table([1]).set_column(0, "customer_id", pa.array(["1"]))
    with pytest.raises(ParityError, match="activity:customer_id"):
        classify_entities(read_of(CUSTOMER), table, as_of_us=AS_OF_US)
