"""One command of this benchmark in a process of its own, and what it says of how it went."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from benchmarks.guard import Limits, run_guarded
from benchmarks.measure import Status

__all__ = ["OutcomeKind", "run_step"]

_ROOT = Path(__file__).resolve().parents[1]
_LAST_LINES = 3

_OutcomeT_co = TypeVar("_OutcomeT_co", covariant=True)


class OutcomeKind(Protocol[_OutcomeT_co]):
    """The class of a command's outcomes."""

    def __call__(self, status: Status, *, reason: str) -> _OutcomeT_co:
        """Say why there is no sample."""
        ...

    def from_document(self, document: dict[str, Any]) -> _OutcomeT_co:
        """Read what the command printed."""
        ...


def run_step(words: Sequence[str], kind: OutcomeKind[_OutcomeT_co], limits: Limits) -> _OutcomeT_co:
    """Run `python -m benchmarks` with some words to its end, or kill it where it takes too much.

    Args:
        words: The command and its options.
        kind: What its last line of output is.
        limits: What it may take.
    """
    ended = run_guarded([sys.executable, "-m", "benchmarks", *words], limits=limits, cwd=_ROOT)
    if ended.how == "timeout":
        return kind("timeout", reason=f"not finished within {limits.time_s:g} s")
    if ended.how == "memory":
        return kind("memory", reason=f"more than {limits.memory_bytes / 1e9:g} GB")
    try:
        return kind.from_document(json.loads(ended.output.strip().rpartition("\n")[2]))
    except (ValueError, KeyError, TypeError):
        last = " | ".join(ended.errors.strip().splitlines()[-_LAST_LINES:])
        return kind("error", reason=f"ended with exit code {ended.exit_code}: {last}")
