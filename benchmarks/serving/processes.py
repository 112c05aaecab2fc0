"""What the processes of a server use, read from /proc: processor time and resident memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.guard import rss_bytes

__all__ = ["ProcessUse", "tree_use"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _USER_TICKS, _SYSTEM_TICKS = 1, 11, 12  # Counted from the state, after the name.


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What one process has used until now.

    Attributes:
        pid: Its number.
        cpu_s: Processor time, system included.
        rss_bytes: Resident memory, pages that are shared with others included.
        is_leaf: Whether it has no child: a worker.
    """

    pid: int
    cpu_s: float
    rss_bytes: int
    is_leaf: bool


def tree_use(root_pid: int) -> list[ProcessUse]:
    """Return what a process and all below it use; empty where there is no /proc."""
    found = {int(path.name): _fields(path) for path in Path("/proc").glob("[0-9]*")}
    children: dict[int, list[int]] = {}
    for pid, fields in found.items():
        if fields is not None:
            children.setdefault(int(fields[_PARENT]), []).append(pid)
    tree = []
    pending = [root_pid]
    while pending:
        pid = pending.pop()
        fields = found.get(pid)
        if fields is None:
            continue
        pending += children.get(pid, [])
        ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
        tree.append(ProcessUse(pid, ticks / _TICKS_PER_S, rss_bytes(pid), pid not in children))
    return tree


def _fields(path: Path) -> list[str] | None:
    try:
        text = (path / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
