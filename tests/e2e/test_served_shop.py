"""The path through every part on a small shop, left up by `make serve`, then damaged on purpose."""

from __future__ import annotations

import json
import re
import shlex
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from evenstore.codec.feast_row import decode_timestamp, encode_timestamp, feature_field
from tests.e2e.conftest import Shop
from tests.e2e.walkthrough import run_command, run_demo

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.xdist_group("shop")]


def _check_parity(shop: Shop, report: Path) -> tuple[int, str, dict[str, Any]]:
    checked = run_command(
        shop.home,
        [
            "evenstore-parity",
            "check",
            *("--repo", shop.home / "feature_repo"),
            *("--gateway", shop.gateway),
            *("--feature-service", "returns_v1"),
            *("--json", report),
        ],
    )
    assert report.exists(), checked.stderr
    return checked.returncode, checked.stdout, json.loads(report.read_text())


def _client(shop: Shop) -> redis.Redis:
    state = json.loads((shop.home / "redis/server.json").read_text())
    return redis.Redis.from_url(state["url"])


def test_each_printed_curl_command_works(shop: Shop) -> None:
    commands = [line for line in shop.printed.splitlines() if line.startswith("curl ")]
    assert len(commands) == 3
    for command in commands:
        answer = subprocess.run(
            [*shlex.split(command), "--fail-with-body"], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout
        assert json.loads(answer.stdout)


def test_serving_again_says_that_it_is_up(shop: Shop) -> None:
    port = shop.gateway.rpartition(":")[2]
    again = run_demo("serve", shop.home, "--port", port)
    assert again.returncode == 0
    assert "up already" in again.stdout


def test_serving_other_data_meanwhile_is_refused(shop: Shop, tmp_path: Path) -> None:
    refused = run_demo("serve", shop.home, "--data", str(tmp_path))
    assert refused.returncode == 1
    assert "make stop" in refused.stderr


def test_demo_beside_a_served_shop_is_refused(shop: Shop) -> None:
    refused = run_demo("run", shop.home)
    assert refused.returncode == 1
    assert "make stop" in refused.stderr


def test_clean_stores_agree(shop: Shop, tmp_path: Path) -> None:
    code, printed, _ = _check_parity(shop, tmp_path / "parity.json")
    assert code == 0, printed
    assert re.fullmatch(
        r"parity: [\d,]+ values compared \([\d,]+ non-null\), 0 mismatches",
        printed.splitlines()[-1],
    )


def test_one_damaged_value_timestamp_and_key_are_each_named(shop: Shop, tmp_path: Path) -> None:
    """The parity job must be seen red: three faults, three names, and green again when mended."""
    client = _client(shop)
    command = client.execute_command
    customers = [
        key
        for key in client.scan_iter(_type="HASH")
        if b"customer_id" in key and b"stock_code" not in key
    ]
    ages = {
        key: decode_timestamp(command("HGET", key, "_ts:customer_activity")) for key in customers
    }
    # The newest: an expired row's values are withheld, and damage to them is nobody's concern.
    spoiled_value, spoiled_time, spoiled_key = sorted(ages, key=lambda key: (-ages[key], key))[:3]
    spend = feature_field("customer_activity", "spend_90d")
    kept: dict[bytes, Any] = {
        key: client.dump(key) for key in (spoiled_value, spoiled_time, spoiled_key)
    }

    command("HSET", spoiled_value, spend, b"\x29" + struct.pack("<d", 123456.75))
    event_us = decode_timestamp(command("HGET", spoiled_time, "_ts:customer_activity"))
    command("HSET", spoiled_time, "_ts:customer_activity", encode_timestamp(event_us - 1))
    client.delete(spoiled_key)
    try:
        code, printed, document = _check_parity(shop, tmp_path / "parity.json")
    finally:
        for key, value in kept.items():
            client.restore(key, 0, value, replace=True)

    assert code == 3
    assert "0 mismatches" not in printed.splitlines()[-1]
    named = {
        (difference["feature"], difference["outcome"], _customer(difference))
        for difference in document["differences"]
        if difference["view"] == "customer_activity"
    }
    ids = {key: struct.unpack("<q", key[-12:-4])[0] for key in kept}
    assert ("spend_90d", "mismatch", ids[spoiled_value]) in named
    assert any(row[1:] == ("stale", ids[spoiled_time]) for row in named)
    assert any(row[1:] == ("missing", ids[spoiled_key]) for row in named)
    assert {row[2] for row in named} == set(ids.values())
    code, printed, _ = _check_parity(shop, tmp_path / "again.json")
    assert code == 0, printed


def _customer(difference: dict[str, Any]) -> int:
    customer: int = difference["entity_key"]["customer_id"]
    return customer
