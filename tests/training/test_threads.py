from __future__ import annotations

import importlib
import os
from typing import Any

import pytest
import sklearn.ensemble  # noqa: F401 - loads OpenMP, which the test looks at

from training.threads import limit_threads, wait_without_spinning


def _openmp_threads() -> set[int]:
    threadpoolctl: Any = importlib.import_module("threadpoolctl")
    libraries = threadpoolctl.threadpool_info()
    return {item["num_threads"] for item in libraries if item["user_api"] == "openmp"}


def test_few_rows_keep_to_one_thread_and_many_do_not() -> None:
    outside = _openmp_threads()
    with limit_threads(99_999):
        assert _openmp_threads() == {1}
    with limit_threads(100_000):
        assert _openmp_threads() == outside


def test_wait_policy_is_set_where_the_user_has_set_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    wait_without_spinning()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_without_spinning()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
