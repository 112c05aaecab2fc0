"""The API key goes to the gateway and nowhere else."""

from __future__ import annotations

import logging
import traceback

import pytest

from evenstore.client.http import AsyncFeatureClient, FeatureClient
from evenstore.client.settings import open_settings
from evenstore.errors import ConfigurationError, GatewayError
from tests.evenstore.client.both_clients import Caller
from tests.evenstore.client.faulty_server import answers, faulty_server, resets

KEY = "evk_sentinel-4711"


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(is_async=bool(request.param))


def test_key_is_sent_as_bearer(call: Caller) -> None:
    with faulty_server(answers(500)) as server:
        call(server.url, "is_ready", client_api_key=KEY)
    assert server.requests[0].header("authorization") == f"Bearer {KEY}"


def test_key_of_the_environment_is_sent_unless_one_is_given(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENSTORE_API_KEY", "evk_environment")
    with faulty_server(answers(500)) as server:
        call(server.url, "is_ready")
        call(server.url, "is_ready", client_api_key=KEY)
        call(server.url, "is_ready", client_api_key="")
    sent = [request.header("authorization") for request in server.requests]
    assert sent == ["Bearer evk_environment", f"Bearer {KEY}", None]


def test_key_is_in_no_error_log_or_representation(
    call: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for step in (answers(401), resets(), answers(200, b"no JSON")):
        with faulty_server(step) as server, pytest.raises(GatewayError) as raised:
            call(server.url, "readiness", client_api_key=KEY)
        told += traceback.format_exception(raised.value)
    client = FeatureClient("http://127.0.0.1:1", api_key=KEY)
    told += [repr(client), repr(client._settings), repr(client._http.headers)]
    told += [repr(AsyncFeatureClient("http://127.0.0.1:1", api_key=KEY)), caplog.text]
    client.close()
    assert any("127.0.0.1" in text for text in told)
    assert not [text for text in told if KEY in text]


@pytest.mark.parametrize(
    "key", ["evk sentinel", "evk_sentinel\n", "evk_sentinel\u00fc", "\r\nx: y"]
)
def test_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigurationError, match="API key") as raised:
        FeatureClient("http://127.0.0.1:1", api_key=key)
    assert "sentinel" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:6566", "ftp://host", "http://", "", "http://h:port", "http://u:secret@host"]
)
def test_url_that_leads_to_no_gateway_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="URL") as raised:
        FeatureClient(url)
    assert "secret" not in str(raised.value)


def test_https_uses_the_authorities_of_the_system() -> None:
    settings = open_settings(
        "https://gateway",
        api_key=None,
        timeout_s=1,
        retries=None,
        max_connections=1,
        ssl_context=None,
    )
    assert settings.ssl_context.check_hostname
    assert settings.ssl_context.get_ca_certs()


@pytest.mark.parametrize("options", [{"timeout_s": 0}, {"timeout_s": -1}, {"max_connections": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        FeatureClient("http://127.0.0.1:1", **options)  # type: ignore[arg-type]
