from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from serving.guard.request_id import REQUEST_ID
from serving.logs import configure_logging
from serving.settings import LogFormat
from tests.serving.loggers import loggers_as_before

KEY = "evs_" + "a1B2-_c3" * 5


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    with loggers_as_before():
        yield


def test_lines_are_json_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("worker 3")
    logging.getLogger("evenstore.serving").info('schema "%s"\nof two lines', "abc")
    captured = capsys.readouterr()
    assert captured.out == ""
    line: dict[str, Any] = json.loads(captured.err)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "INFO",
        "process": "worker 3",
        "message": 'schema "abc"\nof two lines',
    }
    assert captured.err.count("\n") == 1


def test_plain_lines_name_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("worker 3", log_format="plain")
    logging.getLogger("evenstore.serving").info("schema %s", "abc")
    assert capsys.readouterr().err.endswith("Z INFO worker 3: schema abc\n")


@pytest.mark.parametrize("log_format", ["json", "plain"])
def test_unexpected_errors_show_where_but_not_what(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        message = "customer 17850"
        raise RuntimeError(message)

    configure_logging("worker 3", log_format=log_format)
    try:
        fail()
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    text = capsys.readouterr().err
    assert "test_unexpected_errors_show_where_but_not_what" in text
    assert "RuntimeError" in text
    assert "17850" not in text
    if log_format == "json":
        assert json.loads(text)["error"] == "RuntimeError"


@pytest.mark.parametrize("log_format", ["json", "plain"])
@pytest.mark.parametrize(
    "text",
    [
        "cannot reach redis://:s3cret@host:6379/0",
        "cannot reach rediss://user:s3cret@[::1]:6379",
        "cannot reach host:6379,ssl=true,password=s3cret,db=1",
        f"a key {KEY} was sent",
    ],
)
def test_what_looks_like_a_secret_is_struck_out(
    log_format: LogFormat, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("worker 3", log_format=log_format)
    logging.getLogger("evenstore.serving").warning("%s", text)
    logged = capsys.readouterr().err
    assert "***" in logged
    assert "s3cret" not in logged
    assert KEY not in logged


@pytest.mark.parametrize("log_format", ["json", "plain"])
def test_known_fields_and_the_request_id_are_said_and_others_are_not(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("worker 3", log_format=log_format)
    token = REQUEST_ID.set(b"caller-7")
    try:
        logging.getLogger("evenstore.serving").info(
            "request", extra={"status": 200, "route": "/metrics", "customer_id": 17850}
        )
    finally:
        REQUEST_ID.reset(token)
    logged = capsys.readouterr().err
    assert "17850" not in logged
    if log_format == "json":
        line = json.loads(logged)
        assert (line["status"], line["route"], line["request_id"]) == (200, "/metrics", "caller-7")
    else:
        assert "status=200" in logged
        assert "request_id=caller-7" in logged
