"""The path through every part on a small shop, left up by `make serve`, then damaged on purpose."""

from __future__ import annotations

import json
import os
import re
import shlex
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from evenstore.codec.packed_reader import PackedReader
from evenstore.codec.packed_row import (
    encode_order,
    read_row,
    split_slots,
    view_id,
)
from evenstore.online.row_schemas import read_schemas, schemas_key
from tests.e2e.conftest import STOPPED, Shop
from tests.e2e.console_blocks import assert_prints
from tests.e2e.test_readme import BLOCKS, SERVE, run
from tests.e2e.walkthrough import call_demo, run_command
from tests.support.packed_entity import join_slots

_ACTIVITY = view_id("customer_activity")

pytestmark = [pytest.mark.e2e, pytest.mark.redis]


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


def test_the_readme_shows_what_serving_prints(shop: Shop) -> None:
    """A small shop's, which `make serve` of another size would print as well."""
    (block,) = [each for each in BLOCKS if each.name == SERVE]
    (_, served), (_, stopped) = block.commands
    assert_prints(shop.printed, served, any_number=True)
    assert stopped == (STOPPED,)
    environ = dict(os.environ) | {"PORT": "6599", "DATA": ""}
    for name in ("serve", "stop"):
        recipe = run(f"make --just-print --no-print-directory {name}", environ).splitlines()
        port = "--port 6599" if name == "serve" else ""
        assert recipe[-1].split() == f".venv/bin/python -m demo {name} {port}".split()


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
    again = call_demo("serve", shop.home, "--port", port)
    assert again.returncode == 0
    assert "up already" in again.stdout


def test_serving_other_data_meanwhile_is_refused(shop: Shop, tmp_path: Path) -> None:
    refused = call_demo("serve", shop.home, "--data", str(tmp_path))
    assert refused.returncode == 1
    assert "make stop" in refused.stderr


def test_demo_beside_a_served_shop_is_refused(shop: Shop) -> None:
    refused = call_demo("run", shop.home)
    assert refused.returncode == 1
    assert "make stop" in refused.stderr


def test_one_damaged_value_timestamp_and_key_are_named_and_clean_stores_agree(
    shop: Shop, tmp_path: Path
) -> None:
    """The parity job must be seen red: three faults, three names, and green again when mended."""
    client = _client(shop)
    rows = {
        key: row
        for key in client.scan_iter(_type="STRING")
        if (row := _activity_row(client, key)) is not None
    }
    ages = {key: read_row(row).order.event_us for key, row in rows.items()}
    # The newest: an expired row's values are withheld, and damage to them is nobody's concern.
    spoiled_value, spoiled_time, spoiled_key = sorted(ages, key=lambda key: (-ages[key], key))[:3]
    kept: dict[bytes, Any] = {
        key: client.dump(key) for key in (spoiled_value, spoiled_time, spoiled_key)
    }

    _replace_activity_row(client, spoiled_value, _with_other_spend(client, rows[spoiled_value]))
    _replace_activity_row(client, spoiled_time, _a_microsecond_earlier(rows[spoiled_time]))
    client.delete(spoiled_key)
    try:
        code, printed, document = _check_parity(shop, tmp_path / "parity.json")
    finally:
        for key, value in kept.items():
            client.restore(key, 0, value, replace=True)

    assert code == 3
    assert " 0 mismatches" not in printed.splitlines()[-1]
    named = {
        (difference["feature"], difference["outcome"], _customer(difference))
        for difference in document["differences"]
        if difference["view"] == "customer_activity"
    }
    ids = {key: struct.unpack("<q", key[-8:])[0] for key in kept}
    assert ("spend_90d", "mismatch", ids[spoiled_value]) in named
    assert any(row[1:] == ("stale", ids[spoiled_time]) for row in named)
    assert any(row[1:] == ("missing", ids[spoiled_key]) for row in named)
    assert {row[2] for row in named} == set(ids.values())
    code, printed, _ = _check_parity(shop, tmp_path / "again.json")
    assert code == 0, printed
    assert re.fullmatch(
        r"parity: [\d,]+ values compared \([\d,]+ non-null\), 0 mismatches",
        printed.splitlines()[-1],
    )


def _activity_row(client: redis.Redis, key: bytes) -> bytes | None:
    value = client.execute_command("GET", key)
    return split_slots(value).get(_ACTIVITY) if b"@" in key else None


def _replace_activity_row(client: redis.Redis, key: bytes, row: bytes) -> None:
    slots = split_slots(client.execute_command("GET", key))
    client.set(key, join_slots(slots | {_ACTIVITY: row}))


def _with_other_spend(client: redis.Redis, row: bytes) -> bytes:
    stored = read_schemas(client.execute_command("HGETALL", schemas_key("shop")))
    (schema,) = stored["customer_activity"].values()
    head = read_row(row)
    values = PackedReader(schema).read(row, head.payload_start, head.flags)
    names = [field.name for field in schema.features]
    spend = struct.pack("<d", values[names.index("spend_90d")])
    assert spend in row
    return row.replace(spend, struct.pack("<d", 123456.75))


def _a_microsecond_earlier(row: bytes) -> bytes:
    order = read_row(row).order
    earlier = replace(order, event_us=order.event_us - 1)
    return encode_order(earlier) + row.removeprefix(encode_order(order))


def _customer(difference: dict[str, Any]) -> int:
    customer: int = difference["entity_key"]["customer_id"]
    return customer
