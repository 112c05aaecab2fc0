from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from evenstore.clock import SystemClock
from serving.guard.key_file import create_key, revoke_key
from serving.logs import configure_logging
from tests.serving.guard.guarded_app import LIMITS, Served, make_guarding, serve
from tests.serving.loggers import loggers_as_before
from tests.serving.processes import wait_until

_request = partial(httpx.request, timeout=60)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str]]]:
    """A guarded application and a key for each scope."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    keys = {
        scope: create_key(path, f"the-{scope}", [scope], SystemClock())[1]
        for scope in ("read", "write", "admin")
    }
    with serve(make_guarding(keys_path=path, metrics_need_key=True)) as served:
        yield served, keys


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/get-online-features", "read"),
        ("GET", "/v1/feature-services/a", "read"),
        ("POST", "/push", "write"),
        ("GET", "/metrics", "admin"),
        ("DELETE", "/push", "write"),
        ("DELETE", "/v1/feature-services/a", "write"),
    ],
)
def test_each_route_needs_its_scope(
    keyed: tuple[Served, dict[str, str]], method: str, path: str, scope: str
) -> None:
    served, keys = keyed
    for name, key in keys.items():
        for headers in (bearer(key), {"x-api-key": key}):
            response = _request(method, served.url + path, headers=headers)
            if name == scope:
                assert response.status_code in {200, 404, 405}
            else:
                assert response.status_code == 403
                assert response.json()["error"]["code"] == "access-denied"
                assert key not in response.text
    response = _request(method, served.url + path, headers=bearer("evs_unknown"))
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "not-authenticated"
    assert response.headers["www-authenticate"] == "Bearer"
    assert _request(method, served.url + path).status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/no-such-route", "/get-online-features/", "/push/", "/v1/feature-services/a/", "/v1"]
)
def test_where_no_route_is_any_key_is_told_so(
    keyed: tuple[Served, dict[str, str]], method: str, path: str
) -> None:
    served, keys = keyed
    for key in keys.values():
        response = _request(method, served.url + path, headers=bearer(key))
        assert response.status_code == 404
        assert method == "HEAD" or response.json()["error"]["code"] == "unknown-route"
    assert _request(method, served.url + path, headers=bearer("evs_no")).status_code == 401
    assert _request(method, served.url + path).status_code == 401


@pytest.mark.parametrize("method", ["POST", "post", "PUT", "GET"])
def test_paths_like_those_that_write_do_not_write_with_a_key_that_reads(
    keyed: tuple[Served, dict[str, str]], method: str
) -> None:
    served, keys = keyed
    like = "/push /push/ //push /./push /x/../push /PUSH /push%2f /%70ush /push%00 /push; /push?a=b"
    for path in like.split():
        for key in (keys["read"], keys["admin"]):
            with socket.create_connection(("127.0.0.1", served.port), timeout=60) as opened:
                # Not by a client that tidies paths up.
                opened.sendall(
                    f"{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                    f"x-api-key: {key}\r\ncontent-length: 0\r\n\r\n".encode()
                )
                answer = b"".join(iter(lambda: opened.recv(65_536), b""))
            assert answer.split(b" ")[1] in {b"400", b"403", b"404", b"405"}, path


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json"])
def test_probes_and_documentation_need_no_key(
    keyed: tuple[Served, dict[str, str]], path: str
) -> None:
    served, _ = keyed
    assert _request("GET", served.url + path).status_code == 200
    assert _request("POST", served.url + path).status_code == 401, "only reading them is open"


@pytest.mark.parametrize("path", ["//healthz", "/healthz/", "/HEALTHZ", "/healthz%2f..%2fslow"])
def test_paths_like_open_ones_need_a_key(keyed: tuple[Served, dict[str, str]], path: str) -> None:
    served, _ = keyed
    assert _request("GET", served.url + path).status_code == 401


def test_a_running_gateway_follows_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, old = create_key(path, "old", ["read"], SystemClock())
    with serve(make_guarding(keys_path=path)) as served:
        url = f"{served.url}/v1/feature-services/a"
        assert _request("GET", url, headers=bearer(old)).status_code == 200
        _, new = create_key(path, "new", ["read"], SystemClock())
        wait_until(
            lambda: _request("GET", url, headers=bearer(new)).is_success, "the new key is known"
        )
        assert _request("GET", url, headers=bearer(old)).status_code == 200
        revoke_key(path, "old")
        wait_until(
            lambda: _request("GET", url, headers=bearer(old)).status_code == 401,
            "the old one is refused",
        )
        assert _request("GET", url, headers=bearer(new)).status_code == 200
        assert _request("GET", f"{served.url}/metrics").status_code == 200, (
            "open on a loopback address"
        )


def test_beyond_its_bound_a_worker_sheds_and_still_serves() -> None:
    with serve(make_guarding(max_in_flight=2)) as served:
        taken: list[int] = []
        waiting = [
            threading.Thread(
                target=lambda: taken.append(_request("GET", f"{served.url}/slow").status_code)
            )
            for _ in range(2)
        ]
        for thread in waiting:
            thread.start()
        admission = served.guarding.admission
        wait_until(lambda: admission.in_flight == 2, "both are under way")
        with httpx.Client(timeout=60, base_url=served.url) as client:
            for _ in range(20):
                shed = client.post("/get-online-features", content=b"x" * 10_000)
                assert shed.status_code == 503
                assert shed.json()["error"]["code"] == "overloaded"
                assert shed.headers["retry-after"] == "1"
                assert shed.headers["x-request-id"]
            assert client.get("/healthz").status_code == 200, "it is alive, only busy"
        served.gate.open()
        for thread in waiting:
            thread.join(60)
        assert taken == [200, 200]
        assert _request("POST", f"{served.url}/get-online-features", content=b"{}").text == "{}"
        assert (admission.in_flight, admission.n_shed) == (0, 20)


@pytest.mark.parametrize("path", ["/push", "/get-online-features"])
def test_who_never_finishes_a_body_takes_nobodys_place(path: str) -> None:
    limits = replace(LIMITS, max_receive_s=30.0)
    with serve(make_guarding(max_in_flight=2), limits=limits) as served, ExitStack() as stack:
        for _ in range(4):
            opened = socket.create_connection(("127.0.0.1", served.port), timeout=60)
            stack.enter_context(opened)
            opened.sendall(
                f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{{".encode()
            )
        with httpx.Client(timeout=60, base_url=served.url) as client:
            for _ in range(5):
                assert client.get("/v1/feature-services/a").status_code == 200
                assert client.post("/get-online-features", content=b"{}").status_code == 200
                assert client.post("/push", content=b"{}").status_code == 200
        admission = served.guarding.admission
        assert (admission.in_flight, admission.n_shed) == (0, 0)
        # Those that do finish are answered.
        opened.sendall(b"12345678")
        assert opened.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_materialization_takes_no_lookups_place() -> None:
    with serve(make_guarding(max_in_flight=1)) as served:
        done: list[int] = []
        url = f"{served.url}/materialize"
        run = threading.Thread(
            target=lambda: done.append(_request("POST", url, content=b"{}").status_code)
        )
        run.start()
        admission = served.guarding.admission
        wait_until(lambda: admission.in_flight == 1, "it is under way")
        assert (
            _request("POST", f"{served.url}/get-online-features", content=b"{}").status_code == 200
        )
        shed = _request("POST", f"{served.url}/push", content=b"{}")
        assert shed.status_code == 503
        assert "1 writes are under way" in shed.json()["error"]["message"]
        served.gate.open()
        run.join(60)
        assert done == [200]
        assert _request("POST", f"{served.url}/push", content=b"{}").status_code == 200
        assert (admission.in_flight, admission.n_writes, admission.n_shed) == (0, 0, 1)


def test_failures_give_their_place_back() -> None:
    with serve(make_guarding(max_in_flight=1)) as served:
        for path in ("/fails", "/breaks", "/no-such-route"):
            for _ in range(3):
                assert _request("GET", served.url + path).status_code in {503, 500, 404}
        assert served.guarding.admission.in_flight == 0


def test_every_answer_has_a_request_id() -> None:
    with serve(make_guarding()) as served:
        given = _request("GET", f"{served.url}/healthz", headers={"x-request-id": "caller-7"})
        assert given.headers["x-request-id"] == "caller-7"
        for path in ("/healthz", "/fails", "/breaks", "/no-such-route"):
            response = _request("GET", served.url + path, headers={"x-request-id": "no good"})
            assert response.headers.get_list("x-request-id") != ["no good"]
            assert response.headers["x-request-id"]


def test_log_lines_tell_of_requests_and_of_nothing_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.json"
    _, key = create_key(path, "checkout", ["read"], SystemClock())
    guarding = make_guarding(keys_path=path, access_log="full")
    with loggers_as_before(), serve(guarding) as served:
        configure_logging("worker 1")
        headers = {**bearer(key), "x-request-id": "caller-7"}
        with httpx.Client(timeout=60, base_url=served.url, headers=headers) as client:
            client.get("/v1/feature-services/customer-17850")
            client.get("/no-such-route/17850", params={"customer_id": 17850})
            client.get("/fails")
            client.get("/fails")
            client.get("/breaks")
    text = capfd.readouterr().err
    for secret in (key, "17850", "s3cret"):
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert [(line["route"], line["status"]) for line in requests] == [
        ("/v1/feature-services/{name}", 200),
        ("unmatched", 404),
        ("/fails", 503),
        ("/fails", 503),
        ("/breaks", 500),
    ]
    for line in requests:
        assert line["request_id"] == "caller-7"
        assert line["api_key"] == "checkout"
        assert line["duration_ms"] > 0
    (failure,) = [line for line in lines if line.get("code") == "online-store"]
    assert failure["error"] == "OnlineStoreError"
    assert failure["message"] == "no Redis at redis://***host:6379"
    (unexpected,) = [line for line in lines if line.get("frames")]
    assert unexpected["error"] == "RuntimeError"
    assert unexpected["request_id"] == "caller-7"
