"""Quoting: whatever the name or text, DuckDB reads it back as it was."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstore.errors import ConfigurationError
from evenstore.sql.quoting import quote_identifier, quote_literal

HOSTILE = [
    '"',
    '""',
    "'",
    "''",
    "; drop table x; --",
    "select",
    "a b",
    "é\U0001f600",
    "\n",
    "\\",
    "$$",
]
# DuckDB takes text as UTF-8 without NUL; a name must not be empty.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.mark.parametrize("text", ["", *HOSTILE])
def test_literal_is_read_back(text: str) -> None:
    with duckdb.connect() as session:
        assert session.sql(f"select {quote_literal(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("name", HOSTILE)
def test_identifier_is_read_back(name: str) -> None:
    with duckdb.connect() as session:
        relation = session.sql(f"select 1 as {quote_identifier(name)}")
        assert relation.to_arrow_table().column_names == [name]


def test_any_text_and_name_is_read_back() -> None:
    with duckdb.connect() as session:

        @given(text=TEXTS.filter(bool))
        def check(text: str) -> None:
            sql = f"select {quote_literal(text)} as {quote_identifier(text)}"
            assert session.sql(sql).to_arrow_table().to_pylist() == [{text: text}]

        check()


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_name_that_duckdb_has_not_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a column name"):
        quote_identifier(name)


def test_text_with_a_nul_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a text for SQL"):
        quote_literal("a\0b")
