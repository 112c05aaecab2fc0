from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from serving.logs import configure_logging

NAMES = ("evenstore", "uvicorn")


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_lines_are_plain_and_name_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("worker 3")
    logging.getLogger("evenstore.serving").info("schema %s", "abc")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("Z INFO worker 3: schema abc\n")


def test_unexpected_errors_show_where_but_not_what(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        message = "customer 17850"
        raise RuntimeError(message)

    configure_logging("worker 3")
    try:
        fail()
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    text = capsys.readouterr().err
    assert "test_unexpected_errors_show_where_but_not_what" in text
    assert "RuntimeError" in text
    assert "17850" not in text
