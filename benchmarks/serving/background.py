"""What goes on beside lookups: rows that are materialized and rows that are pushed.

A process each, so that neither holds up the generator of the lookups. Both go on until their
standard input ends, and then say how many rows they wrote: two cores may not reach the rate.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.online.data import OnlineDataset, open_online_dataset
from benchmarks.online.rows import (
    INCREMENTAL_END_US,
    Times,
    feature_rows,
    key_array,
)
from evenstore.errors import EvenstoreError

__all__ = ["WriteRates", "materialize_until_told", "push_until_told", "writing"]

_ROOT = Path(__file__).resolve().parents[2]
_PUSHES_PER_S = 10
_HTTP_OK = 200
_END_S = 60.0
_READY = "ready"
_BATCHES = 20


@dataclass(frozen=True, slots=True)
class WriteRates:
    """Rows per second that were reached.

    Attributes:
        materialized_per_s: By `materialize`, call after call.
        pushed_per_s: By POST /write-to-online-store.
    """

    materialized_per_s: float
    pushed_per_s: float


class _Child:
    """A process that writes until it is told to stop."""

    def __init__(self, words: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "serving-writer", *words],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def await_ready(self) -> None:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line.strip() != _READY:
            self._process.kill()
            _, errors = self._process.communicate()
            msg = f"a writer did not start: {errors.strip()[-300:]}"
            raise EvenstoreError(msg)

    def rows_per_s(self) -> float:
        """Stop it and return what it reached."""
        try:
            output, errors = self._process.communicate("", timeout=_END_S)
            reached: float = json.loads(output.strip().rpartition("\n")[2])
        except (subprocess.TimeoutExpired, ValueError) as exc:
            self._process.kill()
            _, errors = self._process.communicate()
            msg = f"a writer failed: {errors.strip()[-300:]}"
            raise EvenstoreError(msg) from exc
        return reached

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def writing(
    folder: Path, repo: Path, url: str, api_key: str | None, rates: WriteRates
) -> Iterator[list[WriteRates]]:
    """Run the block while rows are written; the list holds what was reached, after the block.

    Args:
        folder: Of the data set.
        repo: Of the contender, whose views get the rows.
        url: Of its server.
        api_key: What the server wants to see.
        rates: What is tried.

    Raises:
        EvenstoreError: A writer failed.
    """
    words = ["--folder", str(folder), "--repo", str(repo)]
    pushed = ["--url", url, "--rows-per-s", str(rates.pushed_per_s)]
    pushed += [] if api_key is None else ["--api-key", api_key]
    reached: list[WriteRates] = []
    children: list[_Child] = []
    try:
        children.append(_Child([*words, "--rows-per-s", str(rates.materialized_per_s)]))
        children.append(_Child([*words, *pushed]))
        for child in children:
            child.await_ready()
        yield reached
        reached.append(WriteRates(*(child.rows_per_s() for child in children)))
    finally:
        for child in children:
            child.kill()


def materialize_until_told(folder: Path, repo: Path, rows_per_s: float) -> float:
    """Materialize new rows second by second; returns the rows per second reached."""
    from benchmarks.online.repo import open_repo

    dataset = open_online_dataset(folder)
    files = _write_batches(dataset, repo, round(rows_per_s))
    store = open_repo(repo)
    store.list_feature_views()
    try:
        print(_READY, flush=True)
        begun_s = time.monotonic()
        number = 0
        # Feast prints a line per view on standard output, which the parent reads at the end; at
        # one line per view and second the pipe does not fill up.
        while not _is_told(begun_s + number - time.monotonic()):
            start = _instant(number % _BATCHES)
            store.materialize(start_date=start, end_date=start + timedelta(minutes=1))
            number += 1
        return number * round(rows_per_s) / (time.monotonic() - begun_s)
    finally:
        for path in files:
            path.unlink(missing_ok=True)


def push_until_told(folder: Path, url: str, rows_per_s: float, api_key: str | None) -> float:
    """Push rows in ten requests a second; returns the rows per second reached."""
    dataset = open_online_dataset(folder)
    rows = _batch(dataset, 0, max(1, round(rows_per_s / _PUSHES_PER_S)))
    frame = {name: _json_column(values) for name, values in rows.to_pydict().items()}
    body = json.dumps({"feature_view_name": dataset.case.views[0], "df": frame})
    headers = {"content-type": "application/json"}
    headers |= {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_END_S)
    print(_READY, flush=True)
    begun_s = time.monotonic()
    number = 0
    while not _is_told(begun_s + number / _PUSHES_PER_S - time.monotonic()):
        connection.request("POST", "/write-to-online-store", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != _HTTP_OK:
            msg = f"a push was refused with {answer.status}: {text[:200].decode(errors='replace')}"
            raise EvenstoreError(msg)
        number += 1
    reached: float = number * rows.num_rows / (time.monotonic() - begun_s)
    return reached


def _write_batches(dataset: OnlineDataset, repo: Path, n_rows: int) -> list[Path]:
    import pyarrow.parquet as pq

    files = []
    for number in range(_BATCHES):
        path = repo / "sources" / dataset.case.views[0] / f"background-{number}.parquet"
        pq.write_table(_batch(dataset, number, n_rows), path)
        files.append(path)
    return files


def _batch(dataset: OnlineDataset, number: int, n_rows: int) -> Any:
    import numpy as np

    rng = np.random.default_rng(number)
    entities = rng.choice(dataset.case.n_entities, min(n_rows, dataset.case.n_entities))
    event_us = INCREMENTAL_END_US + number * 60_000_000 + rng.integers(1, 59_000_000, len(entities))
    times = Times(entities, event_us, event_us)
    keys = key_array(dataset.case, seed=0)
    return feature_rows(dataset.case, 0, times, keys, step="incremental", part=number, seed=0)


def _instant(number: int) -> datetime:
    us = INCREMENTAL_END_US + number * 60_000_000
    return datetime.fromtimestamp(us // 1_000_000, tz=UTC)


def _json_column(values: list[Any]) -> list[Any]:
    return [value.isoformat() if isinstance(value, datetime) else value for value in values]


def _is_told(wait_s: float) -> bool:
    """Wait until it is time for the next batch, or standard input ends."""
    readable, _, _ = select.select([sys.stdin], [], [], max(0.0, wait_s))
    return bool(readable)
