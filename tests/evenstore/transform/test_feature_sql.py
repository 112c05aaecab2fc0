from __future__ import annotations

from pathlib import Path

import pytest

from evenstore.errors import TransformError
from evenstore.transform.feature_sql import EventSource, load_feature_sql
from evenstore.transform.window import US_PER_DAY, WindowGrain
from tests.evenstore.transform.runs import COUNT_SQL, shop_sql, write_sql


def test_the_header_is_read_in_full(tmp_path: Path) -> None:
    sql = write_sql(tmp_path / "daily_lines.sql", COUNT_SQL)
    assert (sql.name, sql.version, sql.join_keys) == ("daily_lines", 1, ("customer_id",))
    assert sql.sources == (EventSource("shop_lines", "InvoiceDate"),)
    assert (sql.grain, sql.look_back_days) == (WindowGrain.DAY, 1)
    assert sql.delay_us == 2 * US_PER_DAY // 24
    assert sql.text == COUNT_SQL


def test_several_join_keys_and_sources_keep_their_order(tmp_path: Path) -> None:
    text = COUNT_SQL.replace("customer_id\n-- source", "customer_id, stock_code\n-- source", 1)
    text = text.replace("-- window end", "-- source: visits by Visited At\n-- window end")
    sql = write_sql(tmp_path / "a.sql", text)
    assert sql.join_keys == ("customer_id", "stock_code")
    assert sql.sources[1] == EventSource("visits", "Visited At")


@pytest.mark.parametrize(
    ("look_back", "days"), [("90 days", 90), ("1 hour", 1), ("25 hours", 2), ("forever", None)]
)
def test_look_back_is_rounded_up_to_whole_days(
    tmp_path: Path, look_back: str, days: int | None
) -> None:
    text = COUNT_SQL.replace("look back: 1 day", f"look back: {look_back}")
    assert write_sql(tmp_path / "a.sql", text).look_back_days == days


def test_the_fingerprint_changes_with_the_text_and_not_with_line_endings(tmp_path: Path) -> None:
    sql = write_sql(tmp_path / "a.sql", COUNT_SQL)
    edited = write_sql(tmp_path / "b.sql", COUNT_SQL.replace("count(*)", "count(1)"))
    crlf = tmp_path / "c.sql"
    crlf.write_bytes(COUNT_SQL.replace("\n", "\r\n").encode())
    assert edited.fingerprint != sql.fingerprint
    assert load_feature_sql(crlf) == sql


@pytest.mark.parametrize("name", ["customer_activity", "product_demand"])
def test_the_files_of_the_feature_repo_are_named_after_their_table(name: str) -> None:
    assert shop_sql(name).name == name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-- name: daily_lines\n", "", "header `name` is missing"),
        ("-- version: 1\n", "", "header `version` is missing"),
        ("-- version: 1\n", "-- version: one\n", "header `version` is 'one'"),
        ("-- version: 1\n", "-- version: 1\n-- version: 2\n", "`version` is given 2 times"),
        ("-- version: 1\n", "-- verson: 1\n", ":2: not a header line: '-- verson: 1'"),
        ("-- version: 1\n", "-- version\n", ":2: not a header line"),
        ("daily_lines", "Daily Lines", "header `name` is 'Daily Lines'"),
        ("by InvoiceDate", "", "header `source` is 'shop_lines'"),
        ("window end: day", "window end: week", "header `window end` is 'week'"),
        ("delay: 2 hours", "delay: soon", "header `publication delay` is 'soon'"),
        ("look back: 1 day", "look back: always", "header `look back` is 'always'"),
    ],
)
def test_a_wrong_header_names_the_file_and_the_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "daily_lines.sql"
    with pytest.raises(TransformError) as raised:
        write_sql(path, COUNT_SQL.replace(old, new, 1))
    assert message in raised.value.message
    assert str(path) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_unreadable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.sql"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TransformError, match="cannot read the feature SQL"):
        load_feature_sql(path)
