"""The gateway's loggers, which belong to the process, as a test finds and leaves them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_NAMES = ("evenstore", "uvicorn")


@contextmanager
def loggers_as_before() -> Iterator[None]:
    """Undo what `configure_logging` does in the block."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@contextmanager
def lines_reach(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Let the gateway's lines reach pytest, and nothing else, in the block."""
    with loggers_as_before(), caplog.at_level(logging.INFO, logger="evenstore"):
        logger = logging.getLogger("evenstore")
        logger.handlers, logger.propagate = [], True
        yield
