from __future__ import annotations

from collections.abc import Iterator

import pytest

from evenstore.errors import (
    FutureRowError,
    OnlineStoreError,
    TransformError,
)
from serving.settings import AccessLog
from serving.telemetry.request_log import RequestLog
from tests.serving.loggers import lines_reach


@pytest.fixture(autouse=True)
def _log_lines_reach_the_test(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with lines_reach(caplog):
        yield


@pytest.mark.parametrize(
    ("access_log", "is_on", "n_lines"),
    [("off", False, 0), ("sampled", True, 4), ("full", True, 201)],
)
def test_requests_are_logged_as_asked(
    access_log: AccessLog, is_on: bool, n_lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    log = RequestLog(access_log)
    assert log.is_on == is_on
    if log.is_on:
        for n in range(201):
            log.log_request("/a", "POST", 500 if n == 50 else 200, 0.001)
    assert len(caplog.records) == n_lines


def test_a_flood_of_errors_is_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog("off")
    for _ in range(1_000):
        log.log_error(OnlineStoreError("no Redis at a:6379"), route="/a", status=503)
    n_lines = len(caplog.records)
    assert 1 <= n_lines < 100
    assert caplog.records[0].getMessage() == "no Redis at a:6379"
    log._last_told_s.clear()
    log.log_error(OnlineStoreError("no Redis at a:6379"), route="/a", status=503)
    n_suppressed = [vars(record)["suppressed"] for record in caplog.records]
    assert sum(n_suppressed) + n_lines + 1 == 1_001


def test_errors_that_may_quote_values_are_told_by_their_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = RequestLog("off")
    log.log_error(TransformError("customer 17850 is odd"), route="/a", status=500)
    (record,) = caplog.records
    assert record.getMessage() == "a request failed"
    assert vars(record)["code"] == TransformError.code


def test_errors_of_callers_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    RequestLog("full").log_error(FutureRowError("customer 17850"), route="/a", status=409)
    assert caplog.records == []
