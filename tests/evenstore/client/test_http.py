from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evenstore.client.answers import OnlineFeatures, Readiness
from evenstore.client.http import AsyncFeatureClient, FeatureClient
from evenstore.clock import datetime_to_us
from evenstore.errors import ConfigurationError, EntityRowsError, GatewayError
from evenstore.semantics import Status
from tests.serving import rows
from tests.serving.redis_process import RedisProcess
from tests.serving.stack import Stack


class Lookup:
    """One lookup, made by either client."""

    def __init__(self, url: str, *, is_async: bool) -> None:
        self._url = url
        self._is_async = is_async

    def __call__(self, entities: Mapping[str, Sequence[object]], **asked: Any) -> OnlineFeatures:
        if self._is_async:
            return asyncio.run(self._look_up(entities, asked))
        with FeatureClient(self._url) as client:
            return client.get_online_features(entities=entities, **asked)

    def readiness(self) -> Readiness:
        if self._is_async:
            return asyncio.run(self._readiness())
        with FeatureClient(self._url) as client:
            return client.readiness()

    async def _look_up(
        self, entities: Mapping[str, Sequence[object]], asked: dict[str, Any]
    ) -> OnlineFeatures:
        async with AsyncFeatureClient(self._url) as client:
            return await client.get_online_features(entities=entities, **asked)

    async def _readiness(self) -> Readiness:
        async with AsyncFeatureClient(self._url) as client:
            return await client.readiness()


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
