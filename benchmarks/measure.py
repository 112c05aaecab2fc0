"""One measurement: one contender joins one data set in this process, which does nothing else.

The first call joins the tiny data set of the same shape, so that what a process loads at its first
query is not timed with the join; it is reported as `first_call_s`. Peak memory is read before the
answer is hashed.
"""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from evenstore.errors import EvenstoreError

__all__ = [
    "Outcome",
    "Printable",
    "Sample",
    "Status",
    "cpu_s",
    "measure",
    "peak_rss_bytes",
    "prepare",
    "print_outcome",
]

Status = Literal["ok", "wrong", "timeout", "memory", "unavailable", "error", "interrupted"]

_MAC_UNIT = 1
_LINUX_UNIT = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process measured.

    Attributes:
        join_s: From the call to the answer; the median where the case has several calls.
        first_call_s: The first call of the process, on next to no data.
        process_s: From the start of the process to the answer, imports included.
        join_cpu_s: Processor time of the timed calls, all threads, divided by their number.
        peak_rss_bytes: Greatest resident memory until the answer.
        n_rows: Rows of the answer.
        value_hash: Hash of the answer.
        is_in_order: Whether the answer came in the order of the entity rows.
    """

    join_s: float
    first_call_s: float
    process_s: float
    join_cpu_s: float
    peak_rss_bytes: int
    n_rows: int
    value_hash: str
    is_in_order: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a measurement ended.

    Attributes:
        status: `ok`, or why there is no sample.
        sample: The measurement.
        reason: What happened, for a reader.
    """

    status: Status
    sample: Sample | None = None
    reason: str | None = None

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Outcome:
        """Read what `to_document` wrote."""
        sample = document["sample"]
        return cls(
            document["status"], None if sample is None else Sample(**sample), document["reason"]
        )


class Printable(Protocol):
    """The outcome of a process: one line of JSON, and an exit code."""

    @property
    def status(self) -> Status:
        """`ok`, or what went wrong."""
        ...

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        ...


def prepare(folder: Path, contender_name: str) -> Outcome:
    """Let a contender prepare a data set; one that cannot is unavailable, not wrong."""
    from benchmarks.contenders.contender import find_contenders
    from benchmarks.data import open_dataset

    dataset = open_dataset(folder)
    module = find_contenders([contender_name])[0].load()
    try:
        module.prepare(dataset.warm_up())
        module.prepare(dataset)
    except EvenstoreError as exc:
        return Outcome("unavailable", reason=exc.message)
    return Outcome("ok")


def measure(
    folder: Path,
    contender_name: str,
    *,
    n_calls: int | None = None,
    save: Path | None = None,
    started_ns: int | None = None,
) -> Outcome:
    """Prepare nothing, join, and say what it took.

    Args:
        folder: The data set.
        contender_name: The contender.
        n_calls: Timed calls instead of the case's own number.
        save: Where to keep the answer, as Parquet.
        started_ns: `time.monotonic_ns()` when the process was started.
    """
    started_ns = time.monotonic_ns() if started_ns is None else started_ns
    from benchmarks.contenders.contender import find_contenders
    from benchmarks.data import open_dataset

    dataset = open_dataset(folder)
    module = find_contenders([contender_name])[0].load()
    first_call_s, _, _ = _timed(module.open_join(dataset.warm_up()), 1)
    join = module.open_join(dataset)
    join_s, join_cpu_s, answer = _timed(join, n_calls or dataset.case.n_calls)
    process_s = (time.monotonic_ns() - started_ns) / 1e9
    peak = peak_rss_bytes()

    from benchmarks.answers import digest_answer, load_answer

    digest = digest_answer(answer, dataset.answer_columns)
    if save is not None:
        import pyarrow.parquet as pq

        pq.write_table(load_answer(answer, dataset.answer_columns), save)
    return Outcome(
        "ok",
        Sample(
            join_s=join_s,
            first_call_s=first_call_s,
            process_s=process_s,
            join_cpu_s=join_cpu_s,
            peak_rss_bytes=peak,
            n_rows=digest.n_rows,
            value_hash=digest.value_hash,
            is_in_order=digest.is_in_order,
        ),
    )


def print_outcome(act: Callable[[], Printable]) -> int:
    """Print one line of JSON on stdout, whatever happens; returns the exit code.

    What a library prints meanwhile goes to stderr.
    """
    with contextlib.redirect_stdout(sys.stderr):
        outcome: Printable
        try:
            outcome = act()
        except EvenstoreError as exc:
            traceback.print_exc()
            outcome = Outcome("error", reason=str(exc))
        except Exception as exc:  # noqa: BLE001 - a contender may fail in any way, and is reported
            traceback.print_exc()
            outcome = Outcome("error", reason=f"{type(exc).__name__}: {exc}")
    print(json.dumps(outcome.to_document()), flush=True)
    return 0 if outcome.status == "ok" else 1


def _timed(join: Callable[[], Any], n_calls: int) -> tuple[float, float, Any]:
    seconds = []
    answer = None
    started_cpu_s = cpu_s()
    for _ in range(n_calls):
        answer = None  # Two answers at once would count as memory of the join.
        started_s = time.perf_counter()
        answer = join()
        seconds.append(time.perf_counter() - started_s)
    return statistics.median(seconds), (cpu_s() - started_cpu_s) / n_calls, answer


def cpu_s() -> float:
    """Return the processor time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_rss_bytes() -> int:
    """Return the peak resident memory of this program.

    On Linux from /proc: ru_maxrss there begins with the memory of the process that started this
    one, because it survives exec.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        unit = _MAC_UNIT if sys.platform == "darwin" else _LINUX_UNIT
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
