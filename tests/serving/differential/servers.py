"""Stock `feast serve` and our gateway over the same files, each with rows that it wrote itself."""

from __future__ import annotations

import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from feast import FeatureStore

from evenstore.schema.document import write_document
from evenstore.schema.model import Layout
from evenstore.schema.version import compile_served
from tests.serving.differential import shop
from tests.serving.processes import run_gateway, run_worker, wait_until
from tests.serving.redis_process import RedisProcess
from tests.support.feast_repo import FeastRepo


@dataclass(frozen=True, slots=True)
class Servers:
    """Base URLs, ours also in strict mode, and the repos behind them."""

    stock_url: str
    our_url: str
    strict_url: str
    stock_repo: FeastRepo
    our_repo: FeastRepo
    client: httpx.Client

    def ask_both(self, body: object) -> tuple[httpx.Response, httpx.Response]:
        return self.ask_stock(body), self._ask(self.our_url, body)

    def ask_strict(self, body: object) -> tuple[httpx.Response, httpx.Response]:
        return self.ask_stock(body), self._ask(self.strict_url, body)

    def ask_stock(self, body: object) -> httpx.Response:
        return self._ask(self.stock_url, body)

    def _ask(self, url: str, body: object) -> httpx.Response:
        try:
            return self.client.post(f"{url}/get-online-features", json=body)
        except httpx.TransportError:
            # Stock's server closes a connection after a 500, without saying so.
            return self.client.post(f"{url}/get-online-features", json=body)


@contextmanager
def run_servers(folder: Path, *, layout: Layout) -> Iterator[Servers]:
    """Write rows, load them twice, and run both servers."""
    shop.write_sources(folder / "sources")
    redis = RedisProcess(folder / "redis")
    redis.start()
    try:
        stock = FeastRepo(
            folder / "stock", project="stock", offline_store="duckdb", overrides=_stock(redis.port)
        )
        ours = FeastRepo(folder / "ours", project="ours", redis_url=redis.url, layout=layout)
        schema_path = folder / "schema.json"
        write_document(compile_served(_load(ours, folder)), schema_path)
        with (
            _stock_server(stock, folder) as stock_url,
            run_gateway(ours.path, folder / "gateway") as gateway,
            run_worker(folder / "strict", schema_path, redis.url, compat="strict") as strict,
            httpx.Client(timeout=60) as client,
        ):
            wait_until(lambda: _is_ready(stock_url), "stock's server is ready")
            yield Servers(stock_url, gateway.url, strict.url, stock, ours, client)
    finally:
        redis.kill()


def _stock(port: int) -> Mapping[str, Any]:
    return {
        "online_store": {"type": "redis", "connection_string": f"127.0.0.1:{port}"},
        "batch_engine": {"type": "local"},
    }


def _load(repo: FeastRepo, folder: Path) -> FeatureStore:
    with warnings.catch_warnings():
        # Of Feast itself, about on-demand views, DuckDB and pandas.
        warnings.simplefilter("ignore")
        store = repo.apply(*shop.definitions(folder / "sources"))
        store.materialize(start_date=shop.LONG_AGO, end_date=shop.END)
    return store


@contextmanager
def _stock_server(repo: FeastRepo, folder: Path) -> Iterator[str]:
    _load(repo, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "feast.cli.cli", "--chdir", str(repo.path), "serve"]
    command += ["--port", str(port), "--workers", "1", "--max-requests", "0", "--no-access-log"]
    with (folder / "stock.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    with process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=60).is_success
    except httpx.TransportError:
        return False
