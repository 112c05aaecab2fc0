"""One comparison in this process, which does nothing else.

`call_s` is the comparison itself, with the repo opened anew; `process_s` has the start of the
process and all imports too, as a user waits for them.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.measure import Status, cpu_s, peak_rss_bytes
from evenstore.errors import EvenstoreError

if TYPE_CHECKING:
    from parity.report import ParityReport

__all__ = ["SERVICE", "ParitySample", "ParityStepOutcome", "apply_service", "measure_parity"]

SERVICE = "all_features"
"""The feature service of all views."""

_BATCH_ROWS = 100
_ROUNDS = 3
_HTTP_OK = 200
_PARITY = "import sys; from parity.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True, slots=True)
class ParitySample:
    """What one comparison took.

    Attributes:
        call_s: Wall clock of the comparison.
        cpu_s: Processor time of this process and those that it started meanwhile.
        process_s: From the start of the process to the end of the comparison.
        peak_rss_bytes: Greatest resident memory of this process.
        n_rows: Entities or entity rows compared.
        n_cells: Cells compared.
        parts_s: Seconds of parts of it, by name: for live the lookups, the comparison of their
            answers, and the same lookups without parity.
    """

    call_s: float
    cpu_s: float
    process_s: float
    peak_rss_bytes: int
    n_rows: int
    n_cells: int
    parts_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParityStepOutcome:
    """How a measurement ended.

    Attributes:
        status: `ok`; `wrong` where a difference was found, for there is none.
        reason: What happened.
        sample: What was measured.
    """

    status: Status
    reason: str | None = None
    sample: ParitySample | None = None

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ParityStepOutcome:
        """Read what `to_document` wrote, or an outcome without a sample."""
        sample = document.get("sample")
        return cls(
            document["status"],
            document["reason"],
            None if sample is None else ParitySample(**sample),
        )


def apply_service(repo: Path) -> ParityStepOutcome:
    """Register a feature service of all views of a repo."""
    from feast import FeatureService

    from benchmarks.online.repo import open_repo

    store = open_repo(repo)
    store.apply([FeatureService(name=SERVICE, features=[*store.list_feature_views()])])
    return ParityStepOutcome("ok")


def measure_parity(
    repo: Path, mode: str, *, n_entity_rows: int, url: str | None, started_ns: int
) -> ParityStepOutcome:
    """Run one comparison of a repo whose stores are equal.

    Args:
        repo: Whose rows are loaded.
        mode: `full`, `live` or `golden`.
        n_entity_rows: Entity rows to draw.
        url: Of the gateway, for live.
        started_ns: `time.monotonic_ns()` when the process was started.
    """
    if mode == "golden":
        return _measure_golden(repo, n_entity_rows, started_ns)
    # Imported, and the gateway warmed up, before the clock starts.
    compare = _open_full(repo) if mode == "full" else _open_live(repo, str(url), n_entity_rows)
    parts_s = {} if url is None else _measure_lookups(repo, url, n_entity_rows)
    used_s, begun_s = cpu_s(), time.perf_counter()
    report = compare()
    call_s = time.perf_counter() - begun_s
    if report.violations:
        return ParityStepOutcome("wrong", "; ".join(report.violations))
    sample = ParitySample(
        call_s=call_s,
        cpu_s=cpu_s() - used_s,
        process_s=(time.monotonic_ns() - started_ns) / 1e9,
        peak_rss_bytes=peak_rss_bytes(),
        n_rows=report.n_rows,
        n_cells=report.total.n_compared,
        parts_s=parts_s,
    )
    return ParityStepOutcome("ok", sample=sample)


def _open_full(repo: Path) -> Callable[[], ParityReport]:
    from evenstore.clock import SystemClock
    from parity.full.result import run_full
    from parity.full.settings import FullSettings

    settings = FullSettings(repo=repo, view="view_0")
    return lambda: run_full(settings, SystemClock())


def _open_live(repo: Path, url: str, n_entity_rows: int) -> Callable[[], ParityReport]:
    from parity.check import run_check
    from parity.settings import CheckSettings

    settings = CheckSettings(repo, url, SERVICE, n_entity_rows=n_entity_rows)
    return lambda: run_check(settings)


def _measure_lookups(repo: Path, url: str, n_entity_rows: int) -> dict[str, float]:
    """Time the lookups of parity, and the same requests without it, in turns; medians in seconds.

    `gateway` sends ready-made requests and reads the answers' bytes: what the gateway itself takes.
    `client` has evenstore's client decode them. `lookups` is what parity does, until there are
    cells.
    """
    from evenstore.client.http import FeatureClient
    from evenstore.progress import NullProgress
    from evenstore.schema.request import resolve_service
    from parity.golden import draw_golden_set
    from parity.offline import OfflineSide
    from parity.online import OnlineSide

    offline = OfflineSide(repo)
    request = resolve_service(offline.registry, SERVICE)
    taken: dict[str, list[float]] = {"gateway": [], "client": [], "lookups": []}
    with FeatureClient(url) as client:
        as_of_us = client.readiness().as_of_us
        views = offline.read_entities(request.reads, as_of_us=as_of_us, progress=NullProgress())
        golden = draw_golden_set(request, views, n_rows=n_entity_rows, seed=0)
        starts = range(0, golden.n_rows, _BATCH_ROWS)
        batches = [
            {
                name: list(column[start : start + _BATCH_ROWS])
                for name, column in golden.columns.items()
            }
            for start in starts
        ]
        side = OnlineSide(client, request, batch_rows=_BATCH_ROWS, gateway=url)
        for _ in range(1 + _ROUNDS):
            taken["gateway"].append(_send_raw(url, batches))
            begun_s = time.perf_counter()
            for batch in batches:
                client.get_online_features(
                    entities=batch, feature_service=SERVICE, full_feature_names=True
                )
            taken["client"].append(time.perf_counter() - begun_s)
            begun_s = time.perf_counter()
            side.read_cells(
                golden.columns, golden.n_rows, started_us=as_of_us, progress=NullProgress()
            )
            taken["lookups"].append(time.perf_counter() - begun_s)
    # The first round warms the gateway up.
    return {name: sorted(times[1:])[_ROUNDS // 2] for name, times in taken.items()}


def _send_raw(url: str, batches: Sequence[dict[str, Any]]) -> float:
    where = urlsplit(url)
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("EVENSTORE_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    bodies = [
        json.dumps({"feature_service": SERVICE, "entities": batch, "full_feature_names": True})
        for batch in batches
    ]
    connection = http.client.HTTPConnection(str(where.hostname), where.port or 80)
    begun_s = time.perf_counter()
    for body in bodies:
        connection.request("POST", "/get-online-features", body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != _HTTP_OK:
            msg = f"the gateway answered {answer.status}: {text[:200]!r}"
            raise EvenstoreError(msg)
    taken_s = time.perf_counter() - begun_s
    connection.close()
    return taken_s


def _measure_golden(repo: Path, n_entity_rows: int, started_ns: int) -> ParityStepOutcome:
    """Build a golden set, and run it, as a user does: both are commands of their own."""
    golden = repo / "golden.jsonl"
    words = ["golden", "build", "--repo", str(repo), "--feature-service", SERVICE]
    build_s = _call([*words, "--out", str(golden), "--entity-rows", str(n_entity_rows)])
    report_path = repo / "golden.json"
    words = ["golden", "run", "--repo", str(repo), "--golden", str(golden)]
    used_s = _children_cpu_s()
    run_s = _call([*words, "--json", str(report_path)])
    report = json.loads(report_path.read_text(encoding="utf-8"))
    total = report["total"]
    sample = ParitySample(
        call_s=run_s,
        cpu_s=_children_cpu_s() - used_s,
        process_s=(time.monotonic_ns() - started_ns) / 1e9,
        peak_rss_bytes=_children_peak_bytes(),
        n_rows=report["n_rows"],
        n_cells=total["n_compared"],
        parts_s={"build": build_s},
    )
    return ParityStepOutcome("ok", sample=sample)


def _call(words: Sequence[str]) -> float:
    """Run `evenstore-parity` in a process; returns its seconds."""
    begun_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _PARITY, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        msg = f"`evenstore-parity {words[0]}` ended with {done.returncode}: {last}"
        raise EvenstoreError(msg)
    return time.perf_counter() - begun_s


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _children_peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
