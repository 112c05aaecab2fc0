"""One step of a case in this process, which does nothing else: materialize, check, or look up.

What a process loads at its first call is loaded by a run over next to no data before: it counts
for the process, not for the call. Applying the definitions counts for neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Status, cpu_s, peak_rss_bytes
from benchmarks.online.cases import Step

__all__ = [
    "LoadSample",
    "LookupSample",
    "StepOutcome",
    "apply_definitions",
    "measure_lookups",
    "measure_step",
]

_RESET_PEAK = "5"
_PAGE_KB = 1024
_SHAPES = (("1x10", 1), ("100x10", 100))
_MAX_CALLS = 2_000
_LOOKED_UP_ROWS = 30_000
_WARM_UP_CALLS = 50
_P99 = 0.99


@dataclass(frozen=True, slots=True)
class LoadSample:
    """What materializing took.

    Attributes:
        call_s: Wall clock of `materialize`.
        call_cpu_s: Processor time of all threads of the process meanwhile.
        process_s: From the start of the process to the end of the call.
        process_cpu_s: Processor time of the process until then.
        redis_cpu_s: Processor time of Redis during the call.
        imports_rss_bytes: Resident memory before the call, all libraries loaded.
        peak_rss_bytes: Greatest resident memory during the call.
        redis_bytes: Memory of Redis after the call less that before it.
        n_rows: Rows of the sources, of all views.
        n_entities: Entities stored.
    """

    call_s: float
    call_cpu_s: float
    process_s: float
    process_cpu_s: float
    redis_cpu_s: float
    imports_rss_bytes: int
    peak_rss_bytes: int
    redis_bytes: int
    n_rows: int
    n_entities: int


@dataclass(frozen=True, slots=True)
class LookupSample:
    """What calls of `get_online_features` took, one after the other, in one process.

    Attributes:
        n_calls: Calls.
        p50_us: Median of the calls.
        p99_us: 99 % of the calls were faster.
        dict_p50_us: Median of calls with `to_dict()` of the response.
        process_cpu_us: Processor time per call, `to_dict()` not included.
    """

    n_calls: int
    p50_us: float
    p99_us: float
    dict_p50_us: float
    process_cpu_us: float


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended.

    Attributes:
        status: `ok`, or why there is no sample.
        reason: What happened, for a reader.
        load: Of a step that materialized.
        lookups: Of lookups, by shape.
    """

    status: Status
    reason: str | None = None
    load: LoadSample | None = None
    lookups: dict[str, LookupSample] | None = None

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> StepOutcome:
        """Read what `to_document` wrote, or an outcome without any sample."""
        load, lookups = document.get("load"), document.get("lookups")
        return cls(
            document["status"],
            document["reason"],
            None if load is None else LoadSample(**load),
            None if lookups is None else {k: LookupSample(**v) for k, v in lookups.items()},
        )


def measure_step(
    folder: Path,
    contender_name: str,
    step: Step,
    *,
    port: int,
    started_ns: int,
    project: str = "benchmark",
) -> StepOutcome:
    """Materialize a step, then compare a sample of the answers with the source.

    Args:
        folder: The data set.
        contender_name: The contender.
        step: The step; those before it have run on the same Redis.
        port: Of the Redis.
        started_ns: `time.monotonic_ns()` when the process was started.
        project: Name of the Feast project.
    """
    from benchmarks.online.answers import describe_wrong_answer
    from benchmarks.online.contenders import find_online_contenders
    from benchmarks.online.data import open_online_dataset
    from benchmarks.online.repo import add_step_files, apply_repo, open_repo
    from benchmarks.online.server import MeasuredServer

    dataset = open_online_dataset(folder)
    contender = find_online_contenders([contender_name])[0]
    repo = dataset.work_folder(contender_name) / "repo"
    warm_up = repo.with_name("warm-up")
    applied_s, applied_cpu_s = time.perf_counter(), cpu_s()
    if step == "load":
        apply_repo(warm_up, dataset.warm_up(), contender, port=port, project=f"warm_{project}")
        apply_repo(repo, dataset, contender, port=port, project=project)
    applied_s, applied_cpu_s = time.perf_counter() - applied_s, cpu_s() - applied_cpu_s
    _materialize(open_repo(warm_up), "load")
    add_step_files(repo, dataset, step)
    store = open_repo(repo)
    store.list_feature_views()
    server = MeasuredServer(port, 0)
    used = server.use()
    imports_rss_bytes = _reset_peak_rss()
    call_s, call_cpu_s = time.perf_counter(), cpu_s()
    _materialize(store, step)
    call_s, call_cpu_s = time.perf_counter() - call_s, cpu_s() - call_cpu_s
    process_s = (time.monotonic_ns() - started_ns) / 1e9 - applied_s
    sample = LoadSample(
        call_s=call_s,
        call_cpu_s=call_cpu_s,
        process_s=process_s,
        process_cpu_s=cpu_s() - applied_cpu_s,
        redis_cpu_s=(now := server.use()).cpu_s - used.cpu_s,
        imports_rss_bytes=imports_rss_bytes,
        # The kernel's two counters are a few pages apart.
        peak_rss_bytes=max(peak_rss_bytes(), imports_rss_bytes),
        redis_bytes=now.data_bytes - used.data_bytes,
        n_rows=dataset.case.n_views * dataset.case.n_rows,
        n_entities=dataset.case.n_entities,
    )
    wrong = describe_wrong_answer(store, dataset, step, is_stock=contender.is_stock)
    if wrong is not None:
        return StepOutcome("wrong", f"after {step}: {wrong}")
    return StepOutcome("ok", load=sample)


def apply_definitions(folder: Path, contender_name: str, *, port: int, project: str) -> StepOutcome:
    """Make the repo of a contender and apply it, for rows that another contender has loaded.

    Args:
        folder: The data set.
        contender_name: The contender.
        port: Of the Redis.
        project: Name of the Feast project.
    """
    from benchmarks.online.contenders import find_online_contenders
    from benchmarks.online.data import open_online_dataset
    from benchmarks.online.repo import apply_repo

    dataset = open_online_dataset(folder)
    contender = find_online_contenders([contender_name])[0]
    repo = dataset.work_folder(contender_name) / "repo"
    apply_repo(repo, dataset, contender, port=port, project=project)
    return StepOutcome("ok")


def measure_lookups(
    folder: Path, contender_name: str, *, max_calls: int = _MAX_CALLS
) -> StepOutcome:
    """Time lookups of what the steps before have loaded.

    Args:
        folder: The data set.
        contender_name: The contender.
        max_calls: Most calls of each shape.
    """
    from benchmarks.online.data import open_online_dataset
    from benchmarks.online.repo import open_repo

    dataset = open_online_dataset(folder)
    store = open_repo(dataset.work_folder(contender_name) / "repo")
    key = dataset.case.key_column
    keys = dataset.known_keys()

    def look_up(n_entity_rows: int, call: int) -> Any:
        first = call * n_entity_rows
        rows = [{key: keys[(first + i) % len(keys)]} for i in range(n_entity_rows)]
        return lambda: store.get_online_features(features=dataset.refs, entity_rows=rows)

    lookups = {}
    for shape, n_entity_rows in _SHAPES:
        n_calls = min(max_calls, _LOOKED_UP_ROWS // n_entity_rows)
        calls = [look_up(n_entity_rows, call) for call in range(n_calls)]
        _microseconds(calls[:_WARM_UP_CALLS])
        used_s = cpu_s()
        plain = _microseconds(calls)
        used_s = cpu_s() - used_s
        with_dict = _microseconds([_then_to_dict(call) for call in calls])
        lookups[shape] = LookupSample(
            n_calls=n_calls,
            p50_us=plain[n_calls // 2],
            p99_us=plain[int(n_calls * _P99)],
            dict_p50_us=with_dict[n_calls // 2],
            process_cpu_us=used_s / n_calls * 1e6,
        )
    return StepOutcome("ok", lookups=lookups)


def _materialize(store: Any, step: Step) -> None:
    from benchmarks.online.rows import FULL_END_US, INCREMENTAL_END_US, START_US

    if step == "incremental":
        store.materialize_incremental(end_date=_instant(INCREMENTAL_END_US))
    else:
        store.materialize(start_date=_instant(START_US), end_date=_instant(FULL_END_US))


def _instant(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, tz=UTC)


def _microseconds(calls: list[Callable[[], Any]]) -> list[float]:
    """Return the sorted times of calls."""
    times = []
    for call in calls:
        started_ns = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - started_ns) / 1e3)
    return sorted(times)


def _then_to_dict(call: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: call().to_dict()


def _reset_peak_rss() -> int:
    """Let the peak begin anew, and return the resident memory now.

    Where the system cannot (no /proc), the peak is that of the whole process.
    """
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return peak_rss_bytes()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * _PAGE_KB
