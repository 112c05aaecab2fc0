"""Scores of the gateway's vectors against scores of joined vectors, with real processes."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.redis_server import RedisServer
from tests.training.served_shop import N_CUSTOMERS, SERVICE, ServedShop, open_served_shop
from training.cli import main
from training.scoring.comparison import ulps_between

Capture = pytest.CaptureFixture[str]

_KNOWN, _NULL, _EXPIRED = 7, 3, 5
_ZERO = 19


@pytest.fixture(scope="module")
def shop(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedShop]:
    """A served shop; a test that plants a value puts it back."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    with open_served_shop(tmp_path_factory.mktemp("served"), redis_server.url) as opened:
        yield opened


@pytest.fixture(scope="module", params=["gradient_boosting", "logistic_regression"])
def model(
    request: pytest.FixtureRequest, shop: ServedShop, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model fitted on the shop, one of each kind."""
    path: Path = tmp_path_factory.mktemp("models") / request.param
    source = ["--repo", str(shop.repo), "--feature-service", SERVICE]
    source += ["--entity-rows", str(shop.entity_rows), "--label", "buys_again"]
    source += ["--label-timestamp", "label_timestamp", "--knowledge", "as_known"]
    fit = ["fit", *source, "--purge-days", "2", "--model", request.param, "--out", str(path)]
    assert main(fit) == 0
    return path


def _agree(shop: ServedShop, model: Path, *more: str, rows: Path | None = None) -> int:
    at = ["--repo", str(shop.repo), "--gateway", shop.gateway_url, "--model", str(model)]
    # The test gateway takes 500 values per request; the service has 8 features.
    return main(
        ["agree", *at, "--entity-rows", str(rows or shop.entity_rows), "--batch-rows", "50", *more]
    )


def test_every_score_is_equal_to_the_last_bit(
    shop: ServedShop, model: Path, tmp_path: Path, capsys: Capture
) -> None:
    capsys.readouterr()
    assert _agree(shop, model, "--json", str(tmp_path / "agree.json")) == 0
    out = capsys.readouterr().out.splitlines()
    n_rows = pq.read_metadata(shop.entity_rows).num_rows
    document = json.loads((tmp_path / "agree.json").read_text())
    assert out[0].endswith("as of 2011-12-10T00:00:00Z, where the gateway's clock is frozen")
    share = f"{document['n_inputs_not_null']:,} of {n_rows * 8:,} not null on both sides"
    assert out[-2:] == [
        f"inputs: {share} ({document['coverage']:.1%}), all equal",
        f"scores: {n_rows} rows, {n_rows} equal to the last bit",
    ]
    assert document["n_scores_equal"] == n_rows
    assert document["n_inputs"] == n_rows * 8
    assert 0.5 < document["coverage"] == document["n_inputs_not_null"] / (n_rows * 8) < 1.0
    assert document["differences"] == []
    # Unknown, null, NaN and expired keys are among the rows.
    keys = set(pq.read_table(shop.entity_rows)["customer_id"].to_pylist())
    assert keys >= {3, 4, 5, N_CUSTOMERS, N_CUSTOMERS + 1}


def test_rows_whose_keys_do_not_exist_are_equal_and_prove_nothing(
    shop: ServedShop, model: Path, tmp_path: Path, capsys: Capture
) -> None:
    rows = pq.read_table(shop.entity_rows).slice(0, 3)
    rows = rows.set_column(0, "customer_id", pa.array([10**12, -1, 2**62]))
    pq.write_table(rows, tmp_path / "rows.parquet")
    lines = [
        "inputs: 0 of 24 not null on both sides (0.0%), all equal",
        "scores: 3 rows, 3 equal to the last bit",
    ]
    assert _agree(shop, model, "--min-coverage", "0", rows=tmp_path / "rows.parquet") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-2:] == lines
    assert "proves nothing" not in out
    assert _agree(shop, model, rows=tmp_path / "rows.parquet") == 3
    out = capsys.readouterr().out
    assert out.splitlines()[-2:] == lines
    assert "at least 10.0% are asked for (`--min-coverage`); a comparison of nothing" in out


def test_planted_value_is_found_with_row_scores_and_feature(
    shop: ServedShop, model: Path, capsys: Capture
) -> None:
    before = shop.plant_value("spend", _KNOWN, 10_000.0)
    try:
        code = _agree(shop, model, "--json", "-")
    finally:
        shop.put_back("spend", _KNOWN, before)
    out, err = capsys.readouterr()
    assert code == 3
    document: dict[str, Any] = json.loads(out)
    keys = pq.read_table(shop.entity_rows)["customer_id"].to_pylist()
    expected = [i for i, key in enumerate(keys) if key == _KNOWN]
    assert [row["row_idx"] for row in document["differences"]] == expected
    row = document["differences"][0]
    assert row["entity_row"]["customer_id"] == str(_KNOWN)
    changed = {item["feature"]: item["online_value"] for item in row["features"]}
    assert changed["activity__spend"] == 10_000.0
    assert set(changed) <= {"activity__spend", "basket__basket_to_spend"}
    assert row["ulps"] > 0
    assert document["n_scores_equal"] == len(keys) - len(expected)
    last = err.splitlines()[-1]
    assert last == f"scores: {len(keys)} rows, {len(keys) - len(expected)} equal to the last bit"
    assert f"row {expected[0]} customer_id={_KNOWN}" in err
    assert "activity__spend online=10000.0 offline=" in err


def test_input_that_differs_is_found_where_the_score_does_not(
    shop: ServedShop, model: Path, capsys: Capture
) -> None:
    # The smallest step: no tree splits between the two, no sum need see it.
    offline = float((_KNOWN * 7 + 89 * 3) % 50) / 3.0
    before = shop.plant_value("spend", _KNOWN, math.nextafter(offline, 100.0))
    try:
        assert _agree(shop, model) == 3
    finally:
        shop.put_back("spend", _KNOWN, before)
    out = capsys.readouterr().out
    assert f"activity__spend online={math.nextafter(offline, 100.0)!r} offline={offline!r}" in out


@pytest.mark.parametrize(
    "case",
    [
        # Each gives the model the very number that the offline value gives it.
        (
            "orders",
            _KNOWN,
            2**53 + _KNOWN + 1,
            f"online={2**53 + _KNOWN + 1} offline={2**53 + _KNOWN}",
        ),
        ("favourites", _KNOWN, list("abc"), "online=['a', 'b', 'c'] offline=['a', 'a', 'a']"),
        ("spend", _NULL, math.nan, "online='nan' PRESENT offline=null NULL_VALUE"),
        ("spend", _ZERO, -0.0, "online=-0.0 offline=0.0"),
    ],
    ids=["int64-above-2^53", "list-of-the-same-length", "nan-for-null", "negative-zero"],
)
def test_input_that_a_model_cannot_tell_apart_is_found(
    shop: ServedShop, model: Path, capsys: Capture, case: tuple[str, int, object, str]
) -> None:
    feature, customer_id, planted, shown = case
    before = shop.plant_value(feature, customer_id, planted)
    try:
        assert _agree(shop, model) == 3
    finally:
        shop.put_back(feature, customer_id, before)
    lines = capsys.readouterr().out.splitlines()
    (row, *_) = [line for line in lines if line.startswith("row ")]
    assert f"customer_id={customer_id} " in row
    assert f"(0 ulps apart); activity__{feature} {shown}" in row
    n_rows = pq.read_metadata(shop.entity_rows).num_rows
    assert lines[-1] == f"scores: {n_rows} rows, {n_rows} equal to the last bit"
    assert lines[-2].endswith(" differ")


def test_null_of_another_status_is_found_unless_the_row_expired(
    shop: ServedShop, model: Path, capsys: Capture
) -> None:
    with _removed(shop, _NULL):
        assert _agree(shop, model) == 3
    out = capsys.readouterr().out
    assert "activity__spend online=null NOT_FOUND offline=null NULL_VALUE" in out
    with _removed(shop, _EXPIRED):
        assert _agree(shop, model) == 0


@contextmanager
def _removed(shop: ServedShop, customer_id: int) -> Iterator[None]:
    key = EntityKeyEncoder(shop.view.join_keys, "tiny").encode((customer_id,))
    before = shop.redis.execute_command("DUMP", key)
    assert before
    shop.redis.execute_command("DEL", key)
    try:
        yield
    finally:
        shop.redis.execute_command("RESTORE", key, 0, before)


def test_other_schema_dead_gateway_and_missing_column_exit_1(
    shop: ServedShop, model: Path, tmp_path: Path, capsys: Capture
) -> None:
    rows = pq.read_table(shop.entity_rows)
    pq.write_table(rows.drop_columns(["basket_value"]), tmp_path / "rows.parquet")
    assert _agree(shop, model, rows=tmp_path / "rows.parquet") == 1
    assert "no column `basket_value` (request column)" in capsys.readouterr().err
    at = ["--repo", str(shop.repo), "--model", str(model), "--entity-rows", str(shop.entity_rows)]
    assert main(["agree", *at, "--gateway", "http://127.0.0.1:9"]) == 1
    assert "gave no answer" in capsys.readouterr().err
    registry = shop.repo / "registry.db"
    before = registry.read_bytes()
    store = FeatureStore(repo_path=str(shop.repo))
    store.apply([FeatureService(name="later_v1", features=[store.get_feature_view("activity")])])
    try:
        assert _agree(shop, model) == 1
    finally:
        registry.write_bytes(before)
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: the gateway serves schema" in err
    assert "\n\nhint: wait until" in err


def test_folder_for_the_result_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: Capture
) -> None:
    paths = ["--repo", "r", "--model", "m", "--entity-rows", "e", "--gateway", "http://127.0.0.1:9"]
    assert main(["agree", *paths, "--json", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_ulps_are_zero_for_equal_bits_alone_and_count_steps(one: float, other: float) -> None:
    same_bits = struct.pack("<d", one) == struct.pack("<d", other)
    assert (ulps_between(one, other) == 0) is same_bits
    assert ulps_between(one, other) == ulps_between(other, one)
    if math.isfinite(one):
        after = math.nextafter(one, math.inf)
        # From -0.0 and 0.0 the next step up is the same number.
        assert ulps_between(one, after) == (2 if math.copysign(1.0, one) < 0 == one else 1)


def test_ulps_across_zero() -> None:
    smallest = math.ulp(0.0)
    assert ulps_between(0.0, -0.0) == 1
    assert ulps_between(-smallest, smallest) == 3
    assert ulps_between(1.0, 1.0 + 3 * math.ulp(1.0)) == 3
