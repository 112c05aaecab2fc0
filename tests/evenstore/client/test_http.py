from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evenstore.client.answers import OnlineFeatures, Readiness
from evenstore.client.vectors import FeatureVectors, ServedService, ViewFreshness
from evenstore.clock import datetime_to_us
from evenstore.errors import ConfigurationError, EntityRowsError, GatewayError
from evenstore.semantics import Status
from tests.evenstore.client.both_clients import Caller
from tests.serving import rows
from tests.serving.redis_process import RedisProcess
from tests.serving.stack import Stack


class Lookup:
    """One lookup, made by either client."""

    def __init__(self, url: str, *, is_async: bool) -> None:
        self.url = url
        self.call = Caller(is_async=is_async)

    def __call__(self, entities: Mapping[str, Sequence[object]], **asked: Any) -> OnlineFeatures:
        found: OnlineFeatures = self.call(
            self.url, "get_online_features", entities=entities, **asked
        )
        return found

    def readiness(self) -> Readiness:
        found: Readiness = self.call(self.url, "readiness")
        return found


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def look_up(stack: Stack, is_async: bool) -> Lookup:
    return Lookup(stack.worker.url, is_async=is_async)


def test_columns_come_with_statuses_and_instants(look_up: Lookup) -> None:
    ids = [rows.FRESH, rows.EXPIRED, rows.UNKNOWN]
    features = look_up({"customer_id": ids}, features=["numbers:f_int64", "numbers:f_bytes"])
    assert features.names == ("customer_id", "f_int64", "f_bytes")
    assert len(features) == 3
    assert features.values["f_int64"] == [rows.INT64, None, None]
    assert features.statuses["f_int64"] == [
        Status.PRESENT,
        Status.OUTSIDE_MAX_AGE,
        Status.NOT_FOUND,
    ]
    assert features.event_us["f_int64"] == [
        datetime_to_us(rows.EVENT),
        datetime_to_us(rows.OLD_EVENT),
        None,
    ]
    assert features.as_of_us > datetime_to_us(rows.EVENT)
    assert not features.is_clock_frozen


def test_rows_are_the_columns_by_row(look_up: Lookup) -> None:
    features = look_up({"customer_id": [rows.UNKNOWN, rows.FRESH]}, features=["numbers:f_int32"])
    assert list(features.rows()) == [
        {"customer_id": rows.UNKNOWN, "f_int32": None},
        {"customer_id": rows.FRESH, "f_int32": -5},
    ]


def test_services_request_data_and_full_names_work(look_up: Lookup) -> None:
    features = look_up(
        {"customer_id": [rows.FRESH], "amount": [0.3]},
        feature_service="checkout",
        full_feature_names=True,
    )
    assert features.names == ("customer_id", "numbers__f_float64", "spend__ratio")
    assert features.values["spend__ratio"] == [0.3 / 0.1]


def test_bytes_keys_are_sent_as_bytes(look_up: Lookup) -> None:
    features = look_up({"document_id": [b"\x00doc"]}, features=["scans:pages"])
    assert features.values["pages"] == [3]


def test_readiness_is_read(look_up: Lookup) -> None:
    readiness = look_up.readiness()
    assert readiness.project == "tiny"
    assert len(readiness.schema_fingerprint) == 16
    assert not readiness.is_clock_frozen


def test_refusals_carry_status_code_and_hint(look_up: Lookup) -> None:
    with pytest.raises(GatewayError, match="`nope`") as raised:
        look_up({"customer_id": [rows.FRESH]}, feature_service="nope")
    assert (raised.value.status, raised.value.remote_code) == (404, "unknown-feature-service")
    assert raised.value.hint
    with pytest.raises(GatewayError) as raised:
        look_up({"customer_id": ["1"]}, feature_service="all_types")
    assert (raised.value.status, raised.value.remote_code) == (422, "entity-rows")
    assert raised.value.request_id


def test_feature_vectors_come_row_by_row_with_errors_of_their_own(look_up: Lookup) -> None:
    ids = [rows.FRESH, "7", rows.UNKNOWN, rows.EXPIRED]
    answer: FeatureVectors = look_up.call(
        look_up.url,
        "feature_vectors",
        [{"customer_id": customer_id} for customer_id in ids],
        features=["numbers:f_int64", "profile:f_string"],
        full_feature_names=True,
    )
    fresh, wrong, unknown, expired = answer
    assert answer.names == ("numbers__f_int64", "profile__f_string")
    assert fresh.as_dict() == {"numbers__f_int64": rows.INT64, "profile__f_string": "p"}
    assert fresh.statuses == (Status.PRESENT, Status.PRESENT)
    assert fresh.event_us == {
        "numbers": datetime_to_us(rows.EVENT),
        "profile": datetime_to_us(rows.OLD_EVENT),
    }
    age_us = answer.as_of_us - datetime_to_us(rows.EVENT)
    assert fresh.ages_s["numbers"] == pytest.approx(age_us / 1e6)
    assert wrong.statuses == (Status.INVALID, Status.INVALID)
    assert wrong.error is not None
    assert wrong.error.code == "entity-rows"
    assert unknown.statuses == (Status.NOT_FOUND, Status.NOT_FOUND)
    assert unknown.error is None
    assert expired.statuses == (Status.OUTSIDE_MAX_AGE, Status.NOT_FOUND)
    assert not answer.is_degraded


def test_first_fault_can_fail_the_whole_request(look_up: Lookup) -> None:
    with pytest.raises(GatewayError) as raised:
        look_up.call(
            look_up.url,
            "feature_vectors",
            [{"customer_id": rows.FRESH}, {"customer_id": "7"}],
            feature_service="all_types",
            on_error="fail",
        )
    assert (raised.value.status, raised.value.remote_code) == (422, "entity-rows")


def test_values_of_every_type_are_sent_and_read(look_up: Lookup) -> None:
    sent = {"document_id": b"\x00doc"}
    found: FeatureVectors = look_up.call(
        look_up.url, "feature_vectors", [sent], features=["scans:pages"]
    )
    assert found[0].as_dict() == {"pages": 3}
    asked = {"customer_id": rows.FRESH, "amount": float("nan")}
    found = look_up.call(look_up.url, "feature_vectors", [asked], feature_service="checkout")
    assert found[0].as_dict() == {"f_float64": 0.1, "ratio": "NaN"}


def test_services_are_described(look_up: Lookup) -> None:
    services = look_up.call(look_up.url, "feature_services")
    assert [service.name for service in services] == ["all_types", "checkout"]
    service: ServedService = look_up.call(look_up.url, "feature_service", "checkout")
    assert [(key.name, key.dtype) for key in service.join_keys] == [("customer_id", "Int64")]
    assert [(field.name, field.dtype) for field in service.request_data] == [("amount", "Float64")]
    assert [feature.is_on_demand for feature in service.features] == [False, True]
    assert service.schema_fingerprint == services[1].schema_fingerprint
    with pytest.raises(GatewayError) as raised:
        look_up.call(look_up.url, "feature_service", "a/b")
    assert raised.value.status == 404


def test_freshness_of_a_view_that_no_run_loaded_is_read(look_up: Lookup) -> None:
    freshness: ViewFreshness = look_up.call(look_up.url, "freshness", "numbers")
    assert (freshness.feature_view, freshness.is_materialized) == ("numbers", False)
    assert (freshness.watermark_us, freshness.age_s) == (None, None)
    assert freshness.ttl_s == 86_400.0


def test_readiness_is_a_yes_or_no(look_up: Lookup, tmp_path: Path) -> None:
    assert look_up.call(look_up.url, "is_ready") is True
    away = RedisProcess(tmp_path)  # Only its free port is used.
    assert look_up.call(f"http://127.0.0.1:{away.port}", "is_ready") is False


def test_gateway_that_is_away_has_status_0(tmp_path: Path, is_async: bool) -> None:
    away = RedisProcess(tmp_path)  # Only its free port is used.
    look_up = Lookup(f"http://127.0.0.1:{away.port}", is_async=is_async)
    for ask in (lambda: look_up({}, feature_service="x"), look_up.readiness):
        with pytest.raises(GatewayError, match="gave no answer") as raised:
            ask()
        assert (raised.value.status, raised.value.remote_code) == (0, "unreachable")
        assert raised.value.hint


def test_something_else_at_the_address_is_recognised(stack: Stack, is_async: bool) -> None:
    # The path of the base URL leads to no route, and to an error in the gateway's form.
    with pytest.raises(GatewayError) as raised:
        Lookup(f"{stack.worker.url}/other", is_async=is_async).readiness()
    assert raised.value.remote_code == "unknown-route"


def test_wrong_arguments_are_refused_before_sending(look_up: Lookup) -> None:
    with pytest.raises(ConfigurationError):
        look_up({"customer_id": [1]})
    with pytest.raises(ConfigurationError):
        look_up({"customer_id": [1]}, features=["a:b"], feature_service="c")
    with pytest.raises(EntityRowsError, match="`customer_id`, row 1"):
        look_up({"customer_id": [1, object()]}, features=["a:b"])
