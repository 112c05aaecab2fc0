"""Judges mutants one after another, each in processes of its own that end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from evenstore.processes import deferred_signals
from tests.mutants.mutant import Mutant
from tests.mutants.source_copy import SourceCopy
from tests.mutants.verdict import Verdict

__all__ = ["TIMEOUT_S", "Runner", "processes_of"]

TIMEOUT_S = 240.0
"""A gateway that does not start is given up after half of it."""

_STOP_S = 20.0
_POLL_S = 0.2
_MARK = "EVENSTORE_MUTANT_RUN"


class Runner:
    """Runs the judge in a copy of the source tree.

    Args:
        copy: The copy.
        repo: A Feast repo that was applied by code without a mutant; it is only read.
        golden: Its golden set, with frozen values.
        folder: For what judges write.
        timeout_s: After it a judge is ended, and its mutant red.
        environ: Further variables of the judge's environment.
    """

    def __init__(
        self,
        copy: SourceCopy,
        repo: Path,
        golden: Path,
        folder: Path,
        *,
        timeout_s: float = TIMEOUT_S,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._copy = copy
        self._words = (str(repo), str(golden))
        self._folder = folder
        self._timeout_s = timeout_s
        self._environ = dict(environ or {})

    def judge(self, mutant: Mutant | None) -> Verdict:
        """Say what golden and the oracle see of a mutant; None for the code as it is."""
        mark = uuid.uuid4().hex
        out, log = self._folder / f"{mark}.json", self._folder / f"{mark}.log"
        with self._copy.mutated(mutant), log.open("wb") as said:
            # Golden's own folders are here too, so that a run that is killed leaves none elsewhere.
            more = {**self._environ, _MARK: mark, "TMPDIR": str(self._folder)}
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.mutants.judge", *self._words, str(out)],
                cwd=self._copy.folder,
                env=self._copy.environ(more),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            has_ended = False
            try:
                process.wait(self._timeout_s)
                has_ended = True
            except subprocess.TimeoutExpired:
                pass
            finally:
                with deferred_signals():
                    _end(process, mark)
        found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
        if "n_live" in found or "golden_stopped" in found:
            return Verdict.from_json(found)
        why = _last_line(log) if has_ended else f"no verdict after {self._timeout_s:g} s"
        return Verdict.from_json({**found, "golden_stopped": why})


def processes_of(mark: str, *, name: str = _MARK) -> list[int]:
    """Return the processes that have a mark in their environment; none where there is no /proc."""
    wanted = f"{name}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # Ended meanwhile, or another user's.
            continue
        if wanted in environ:
            found.append(int(folder.name))
    return found


def _last_line(log: Path) -> str:
    """Return what a process that died said last: its error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no word")


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End a judge, and whatever of its processes does not end with it."""
    if process.poll() is None:
        # It ends its gateway and removes its keys and folders.
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    deadline_s = time.monotonic() + _STOP_S
    while left := processes_of(mark):
        if time.monotonic() > deadline_s:
            for pid in left:
                _kill(pid)
            return
        time.sleep(_POLL_S)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
