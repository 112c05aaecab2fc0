"""Column names that one relation cannot hold, and DuckDB's names of the types."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.sql.relation import check_column_names, content_columns
from evenstore.sql.types import sql_type


@pytest.mark.parametrize("dtype", Dtype, ids=lambda dtype: dtype.value)
def test_sql_type_is_the_arrow_type(dtype: Dtype) -> None:
    with duckdb.connect() as session:
        session.execute("set timezone = 'UTC'")
        table = session.sql(f"select cast(null as {sql_type(dtype)}) as x").to_arrow_table()
    element = pa.types.is_list(table["x"].type)
    assert table["x"].type == arrow_type(dtype) or (
        element and table["x"].type.value_type == arrow_type(dtype).value_type
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "A"), "stats: `a` and `A` differ only in case"),
        (("a", "b", "a"), "stats: `a` is declared twice"),
        (("a", "_EVENT_US"), "stats: `_EVENT_US` is a name that the joins use themselves"),
    ],
)
def test_clashing_names_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check_column_names(names, where="stats")
    assert caught.value.message == message


def test_names_that_duckdb_tells_apart_are_accepted() -> None:
    names = ("a", "b", "é", "É", "\u212a", "k", "_event", "event_us")
    check_column_names(names, where="stats")
    with duckdb.connect() as session:
        columns = ", ".join(f'{i} as "{name}"' for i, name in enumerate(names))
        relation = session.sql(f"select {columns}")
        for i, name in enumerate(names):
            assert relation.project(f'"{name}"').fetchall() == [(i,)]


def test_content_is_ordered_by_feature_name() -> None:
    fields = tuple(Field(name, Dtype.INT64) for name in ("b", "a", "B"))
    view = FeatureViewSchema("view", (), fields, None)
    assert [field.name for field in content_columns(view)] == ["B", "a", "b"]
