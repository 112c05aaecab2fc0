from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from feast import FeatureService, FeatureStore

from evenstore.clock import datetime_to_us, format_us
from parity.cli import main
from parity.strata import Stratum
from tests.parity.conftest import RunningShop
from tests.parity.outputs.test_document_schema import SCHEMA
from tests.parity.shop import (
    COLD,
    EXPIRED,
    FIRST_CUSTOMER,
    FORGIVING,
    HOT,
    NAN,
    NOW,
    NULL,
    SERVICE,
    TIED,
    add_late_row,
)

# The test gateway takes 500 values per request; the service has 8 features.
BATCH_ROWS = "50"
VIEW = "customer_activity"
LATE, LOST = FIRST_CUSTOMER + 20, FIRST_CUSTOMER + 21

Capture = pytest.CaptureFixture[str]


def check(shop: RunningShop, *more: str, service: str = SERVICE) -> int:
    at = ["--repo", str(shop.repo), "--gateway", shop.gateway_url]
    return main(["check", *at, "--feature-service", service, "--batch-rows", BATCH_ROWS, *more])


def check_to_json(shop: RunningShop, path: Path, *more: str) -> tuple[int, Any]:
    code = check(shop, "--json", str(path), *more)
    return code, json.loads(path.read_text())


def outcomes(document: Any, view: str = VIEW) -> set[tuple[str, str, object]]:
    return {
        (d["outcome"], d["feature"], d["entity_key"]["customer_id"])
        for d in document["differences"]
        if d["view"] == view
    }


def every_feature(outcome: str, customer_id: int, but: Iterable[str] = ()) -> set[Any]:
    features = {"orders", "spend", "share", "first_order", "recent", "token"} - set(but)
    return {(outcome, feature, customer_id) for feature in features}


@pytest.mark.redis
def test_clean_shop_passes_and_covers_every_stratum(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    code, document = check_to_json(shop, tmp_path / "parity.json")
    assert code == 0, capsys.readouterr().out
    assert document["verdict"] == "passed"
    assert document["total"]["n_compared"] == document["n_rows"] * 8
    assert document["is_clock_frozen"] is True
    assert document["first_as_of_us"] == document["last_as_of_us"] == datetime_to_us(NOW)
    skewed = [view["facts"]["schema_skew"] for view in document["views"] if view["facts"]]
    assert skewed == [[], ["sold is int32 in the source, declared Int64"]]
    covered = {s["stratum"] for s in document["strata"] if s["view"] == VIEW and s["n_rows"]}
    assert covered == {stratum.value for stratum in Stratum}
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("where the gateway's clock is frozen")
    assert lines[-1].startswith("parity: ")
    assert lines[-1].endswith(" non-null), 0 mismatches")


@pytest.mark.redis
def test_defaults_and_stale_values_are_the_same_on_both_sides_and_no_coverage(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "parity.json"
    assert check(shop, "--json", str(path), service=FORGIVING) == 0, capsys.readouterr().out
    forgiving = json.loads(path.read_text())["total"]
    _, strict = check_to_json(shop, path)
    # Values of the expired customer are given. Where a default is declared, a cell counts only when
    # it is present: a default is no value that a store had.
    n_stale = forgiving["n_non_null"] - strict["total"]["n_non_null"]
    assert n_stale > 0
    assert forgiving["n_compared"] == strict["total"]["n_compared"]

    shop.plant_value(VIEW, "orders", EXPIRED, 1)
    assert check(shop, "--json", str(path), service=FORGIVING) == 3
    planted = json.loads(path.read_text())
    assert outcomes(planted) == {("mismatch", "orders", EXPIRED)}


@pytest.mark.redis
def test_expired_row_that_was_never_loaded_is_no_difference(
    shop: RunningShop, tmp_path: Path
) -> None:
    shop.redis.delete(shop.key(VIEW, EXPIRED))
    code, document = check_to_json(shop, tmp_path / "parity.json")
    assert code == 0
    assert document["total"]["by_outcome"]["expired-absent"] >= 6


@pytest.mark.redis
def test_every_planted_fault_is_named_with_view_feature_and_key(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    event_us = datetime_to_us(NOW - timedelta(hours=1))
    shop.plant_value(VIEW, "spend", HOT, math.nextafter(0.1, 1.0))
    shop.plant_value(VIEW, "spend", NAN, None)
    shop.plant_event(VIEW, COLD, event_us - 1)
    shop.plant_event(VIEW, TIED, event_us + 1)
    shop.redis.delete(shop.key(VIEW, LOST))
    add_late_row(shop.repo, LATE)
    shop.plant_value(VIEW, "orders", NULL, 1)
    code, document = check_to_json(shop, tmp_path / "parity.json")
    assert code == 3
    assert outcomes(document) == {
        ("mismatch", "spend", HOT),
        ("missing", "spend", NAN),
        *every_feature("stale", COLD),
        *every_feature("timestamp-differs", TIED),
        *every_feature("missing", LOST),
        *every_feature("stale", LATE),
        ("extra", "orders", NULL),
    }
    lines = capsys.readouterr().out.splitlines()
    cell = (
        f"mismatch {VIEW}:spend customer_id={HOT} offline=0.1 @2011-12-09T23:00:00Z"
        " online=0.10000000000000002 @2011-12-09T23:00:00Z ["
    )
    assert any(line.startswith(cell) for line in lines)
    assert all(d["finding"]["cause"] for d in document["differences"])
    n_differing = len(document["differences"])
    assert lines[-1].endswith(f" {n_differing} mismatches")


@pytest.mark.redis
def test_row_after_the_watermark_is_due_and_a_difference_only_until_now(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    half_hour_ago = datetime_to_us(NOW - timedelta(minutes=30))
    shop.set_watermark(VIEW, half_hour_ago)
    add_late_row(shop.repo, LATE)
    code, document = check_to_json(shop, tmp_path / "parity.json")
    assert code == 0, capsys.readouterr().out
    facts = document["views"][0]["facts"]
    assert facts["watermark_us"] == half_hour_ago
    assert facts["lag_us"] == 30 * 60 * 1_000_000
    assert facts["n_entities_beyond_watermark"] == 1
    assert "1 entities have later rows to load" in capsys.readouterr().out
    code, document = check_to_json(shop, tmp_path / "parity.json", "--until", "now")
    assert code == 3
    assert outcomes(document) == every_feature("stale", LATE)


@pytest.mark.redis
def test_row_after_the_watermark_that_online_has_already_is_compared(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    # As while a run is under way: rows of an hour ago are there, the watermark is not.
    shop.set_watermark(VIEW, datetime_to_us(NOW - timedelta(minutes=90)))
    shop.plant_value(VIEW, "orders", HOT, 1)
    code, document = check_to_json(shop, tmp_path / "parity.json")
    assert code == 3
    assert outcomes(document) == {("mismatch", "orders", HOT)}
    broken = "customer_activity promises to lag by 1h at most and lags by 1h 30m"
    assert broken in document["violations"]
    assert f"violated: {broken}" in capsys.readouterr().out


@pytest.mark.redis
def test_every_output_is_written_and_tells_what_changed(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    waivers = tmp_path / "waivers.toml"
    waivers.write_text(
        f'[[waiver]]\nfeature = "{VIEW}:spend"\nulp = 4\nreason = "r"\nowner = "o"\n'
        f"expires = {(datetime.now(UTC) + timedelta(days=30)).date()}\n"
    )
    shop.plant_value(VIEW, "spend", HOT, math.nextafter(0.1, 1.0))
    shop.plant_value(VIEW, "orders", COLD, 1)
    before = tmp_path / "before.json"
    assert check(shop, "--json", str(before)) == 3
    shop.plant_value(VIEW, "orders", COLD, 2**53 + 1)
    capsys.readouterr()
    names = ("json", "junit", "markdown", "parquet", "prometheus")
    written = [word for name in names for word in (f"--{name}", str(tmp_path / f"out.{name}"))]
    more = ("--waivers", str(waivers), "--previous", str(before), "--max-rows-per-s", "1000")
    assert check(shop, *written, *more) == 0
    out = capsys.readouterr().out
    assert "0 new, 2 fixed, 0 still there" in out
    assert "1 within tolerance" in out
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["total"]["by_outcome"]["within-tolerance"] == 1
    assert all((tmp_path / f"out.{name}").stat().st_size > 100 for name in names)


@pytest.mark.redis
def test_reports_of_two_modes_follow_one_schema(
    shop: RunningShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.plant_value(VIEW, "orders", HOT, 1)
    _, live = check_to_json(shop, tmp_path / "live.json")
    # Full mode asks no gateway for the instant.
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", format_us(datetime_to_us(NOW)))
    path = tmp_path / "full.json"
    assert main(["full", "--repo", str(shop.repo), "--view", VIEW, "--json", str(path)]) == 3
    full = json.loads(path.read_text())
    for document in (live, full):
        jsonschema_rs.validate(SCHEMA, document, validate_formats=True)
        assert outcomes(document) == {("mismatch", "orders", HOT)}
    assert (live["mode"], full["mode"], full["subject"]) == ("live", "full", VIEW)


@pytest.mark.redis
def test_leaks_are_rows_that_were_not_known_yet(shop: RunningShop, tmp_path: Path) -> None:
    add_late_row(shop.repo, LATE)
    _, document = check_to_json(shop, tmp_path / "parity.json", "--count-leaks", "--no-causes")
    # The late row was created half an hour after its event, which is after the gateway's now.
    assert document["views"][0]["facts"]["n_leaked"] == 1
    assert {d["finding"] for d in document["differences"]} == {None}


@pytest.mark.redis
def test_row_that_the_gateway_cannot_read_is_named_and_the_others_are_compared(
    shop: RunningShop, tmp_path: Path
) -> None:
    shop.plant_bytes(VIEW, "spend", HOT, b"\xff\xff")
    shop.plant_event(VIEW, COLD, datetime_to_us(NOW + timedelta(days=1)))
    code, document = check_to_json(shop, tmp_path / "parity.json")
    assert code == 3
    refusals = {(r["entity_key"]["customer_id"], r["code"]) for r in document["refusals"]}
    assert refusals == {(HOT, "corrupt-row"), (COLD, "future-row")}
    assert outcomes(document) == every_feature("unanswered", HOT) | every_feature(
        "unanswered", COLD
    )
    assert document["total"]["by_outcome"]["match"] > 0


@pytest.mark.redis
def test_empty_online_store_is_a_violation_and_no_error(shop: RunningShop, tmp_path: Path) -> None:
    shop.redis.flushall()
    code, document = check_to_json(shop, tmp_path / "parity.json")
    assert code == 3
    missing, expired_absent = (
        document["total"]["by_outcome"][outcome] for outcome in ("missing", "expired-absent")
    )
    assert missing > 0
    assert expired_absent > 0


@pytest.mark.redis
def test_coverage_below_the_minimum_is_a_violation_without_a_mismatch(
    shop: RunningShop, capsys: Capture
) -> None:
    assert check(shop, "--min-coverage", "1") == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("violated: coverage is 0.")
    assert lines[-1].endswith(" 0 mismatches")


@pytest.mark.redis
def test_json_on_standard_output_is_alone_there(shop: RunningShop, capsys: Capture) -> None:
    assert check(shop, "--json", "-", "--entity-rows", "9") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["n_rows"] == 9
    assert "0 mismatches" in captured.err


@pytest.mark.redis
def test_same_seed_gives_the_same_report(shop: RunningShop, capsys: Capture) -> None:
    reports = []
    for _ in range(2):
        assert check(shop, "--seed", "7", "--entity-rows", "30") == 0
        reports.append(capsys.readouterr().out)
    assert reports[0] == reports[1]


@pytest.mark.redis
def test_registry_newer_than_the_gateway_is_refused(shop: RunningShop, capsys: Capture) -> None:
    registry = shop.repo / "registry.db"
    before = registry.read_bytes()
    store = FeatureStore(repo_path=str(shop.repo))
    view = store.get_feature_view(VIEW)
    store.apply([FeatureService(name="later_v1", features=[view])])
    try:
        assert check(shop) == 1
    finally:
        registry.write_bytes(before)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: the gateway serves schema " in captured.err
    assert "\n\nhint: " in captured.err


@pytest.mark.redis
def test_unknown_feature_service_is_an_error_with_near_names(
    shop: RunningShop, capsys: Capture
) -> None:
    at = ["--repo", str(shop.repo), "--gateway", shop.gateway_url]
    assert main(["check", *at, "--feature-service", "chekout_v1"]) == 1
    assert f"did you mean `{SERVICE}`?" in capsys.readouterr().err


def test_gateway_that_is_down_is_an_error_and_writes_nothing(
    tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "parity.json"
    at = ["--repo", str(tmp_path), "--gateway", "http://127.0.0.1:9"]
    assert main(["check", *at, "--feature-service", SERVICE, "--json", str(target)]) == 1
    assert "gave no answer" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.redis
def test_folder_that_is_no_repo_is_an_error(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    at = ["--repo", str(tmp_path), "--gateway", shop.gateway_url]
    assert main(["check", *at, "--feature-service", SERVICE]) == 1
    assert "is no Feast repo" in capsys.readouterr().err


@pytest.mark.redis
def test_repo_that_was_never_applied_is_an_error_and_stays_as_it_is(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "feature_store.yaml").write_text((shop.repo / "feature_store.yaml").read_text())
    at = ["--repo", str(tmp_path), "--gateway", shop.gateway_url]
    assert main(["check", *at, "--feature-service", SERVICE]) == 1
    assert "run `feast apply`" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["feature_store.yaml"]


@pytest.mark.redis
def test_settings_that_cannot_be_read_are_an_error(
    shop: RunningShop, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: 1: 2\n")
    at = ["--repo", str(tmp_path), "--gateway", shop.gateway_url]
    assert main(["check", *at, "--feature-service", SERVICE]) == 1
    assert "cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing/parity.json", "."])
def test_report_without_a_place_is_refused_before_anything_is_read(
    name: str, tmp_path: Path, capsys: Capture
) -> None:
    at = ["--repo", str(tmp_path), "--gateway", "http://127.0.0.1:9"]
    target = str(tmp_path / name)
    assert main(["check", *at, "--feature-service", SERVICE, "--json", target]) == 1
    assert "no place for the report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--max-rows-per-s", "0", "not 1 or more"),
        ("--until", "then", "invalid choice"),
        ("--entity-rows", "0", "not 1 or more"),
        ("--batch-rows", "many", "invalid"),
        ("--min-coverage", "1.5", "not between 0 and 1"),
        ("--min-coverage", "nan", "not between 0 and 1"),
        ("--gateway", "127.0.0.1:6566", "not a URL"),
    ],
)
def test_wrong_usage_exits_2(option: str, value: str, reason: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--repo", ".", "--feature-service", SERVICE, option, value])
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err


def test_help_has_an_example_and_the_exit_codes(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["live", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "evenstore-parity live --repo feature_repo" in out
    assert "3  parity is violated" in out
