"""The rows of a data set in a Redis, kept as a snapshot beside the data: loading takes long.

Two Feast projects: `bench_packed` with evenstore's packed rows, and `bench_stocks`, whose rows have
stock's layout. The latter are read by stock Feast and by evenstore with `layout: feast` alike, and
evenstore materializes them: stock takes ten times as long, and the answers of all are compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.guard import Limits, run_guarded
from benchmarks.online.cases import FEAST, FEAST_LAYOUT, PACKED
from benchmarks.online.data import OnlineDataset
from benchmarks.online.server import MeasuredServer, measured_server
from benchmarks.serving.cases import STOCK, Layout
from evenstore.errors import EvenstoreError

__all__ = ["Loaded", "open_loaded"]

_ROOT = Path(__file__).resolve().parents[2]
_WRITERS = (
    "codec/*encoder*.py",
    "codec/*_row.py",
    "codec/*_key.py",
    "online/write_*.lua",
    "online/key_group.py",
)
_PROJECTS = {PACKED: "bench_packed", FEAST_LAYOUT: "bench_stocks", FEAST: "bench_stocks"}
_VERSION = b"1"
_LAST_LINES = 3


@dataclass(frozen=True, slots=True)
class Loaded:
    """A running Redis with rows, and the Feast repos that read them.

    Attributes:
        server: The Redis.
        dataset: What was loaded.
    """

    server: MeasuredServer
    dataset: OnlineDataset

    def repo(self, contender: str, layout: Layout) -> Path:
        """Return the folder of a contender's repo."""
        if contender == STOCK:
            return _repo(self.dataset, FEAST)
        return _repo(self.dataset, PACKED if layout == "packed" else FEAST_LAYOUT)


@contextlib.contextmanager
def open_loaded(
    dataset: OnlineDataset, layout: Layout, *, limits: Limits, say: Callable[[str], None]
) -> Iterator[Loaded]:
    """Run the block with a Redis that holds the rows of a data set.

    Args:
        dataset: The rows.
        layout: Of evenstore's rows.
        limits: Of each process that loads, and of Redis' memory.
        say: Prints one line of progress.

    Raises:
        EvenstoreError: Loading failed.
    """
    folder = dataset.folder / f"redis-{layout}"
    kept = folder / "loaded.json"
    state = json.dumps({"writers": _fingerprint()})
    is_kept = kept.exists() and kept.read_text(encoding="utf-8") == state
    if not is_kept:
        shutil.rmtree(folder, ignore_errors=True)
    with measured_server(folder, max_bytes=limits.memory_bytes) as server:
        if is_kept:
            for contender in _PROJECTS:
                _move(_repo(dataset, contender), server.port)
        else:
            _load(dataset, layout, server.port, limits, say)
            with redis.Redis(port=server.port) as client:
                client.save()
            kept.write_text(state, encoding="utf-8")
        yield Loaded(server, dataset)


def _load(
    dataset: OnlineDataset, layout: Layout, port: int, limits: Limits, say: Callable[[str], None]
) -> None:
    for contender, step in ((PACKED, "load"), (FEAST_LAYOUT, "load"), (FEAST, "apply")):
        if contender == PACKED and layout != "packed":
            continue
        shutil.rmtree(dataset.work_folder(contender), ignore_errors=True)
        started_s = time.monotonic()
        words = [sys.executable, "-m", "benchmarks", "online-step", "--port", str(port)]
        words += ["--folder", str(dataset.folder), "--contender", contender, "--step", step]
        words += ["--project", _PROJECTS[contender], "--started-ns", str(time.monotonic_ns())]
        ended = run_guarded(words, limits=limits, cwd=_ROOT)
        if ended.how != "exited" or ended.exit_code:
            last = " | ".join(ended.errors.strip().splitlines()[-_LAST_LINES:])
            msg = f"{step} of {contender}: {ended.how} with {ended.exit_code}: {last}"
            raise EvenstoreError(msg)
        say(f"  {step} of {contender}: {time.monotonic() - started_s:.0f} s")


def _repo(dataset: OnlineDataset, contender: str) -> Path:
    return dataset.work_folder(contender) / "repo"


def _move(repo: Path, port: int) -> None:
    """Let a repo find its Redis on another port."""
    path = repo / "feature_store.yaml"
    if not path.exists():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    config["online_store"]["connection_string"] = f"127.0.0.1:{port}"
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")


def _fingerprint() -> str:
    """Hash what decides the bytes of rows, so that a snapshot of other code is not used."""
    digest = hashlib.sha256(_VERSION)
    for pattern in _WRITERS:
        for path in sorted((_ROOT / "evenstore").glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
