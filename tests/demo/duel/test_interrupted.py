from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from demo.commands import CommandError
from demo.duel.interrupted import await_begun, kill, pause, registry_state, resume
from demo.duel.side import Running, finish_all
from tests.support.redis_process import wait_until

pytestmark = pytest.mark.slow

# Notes its begin as Feast does, and its end if it lives to see it.
RUN = """
import sys, time
from pathlib import Path
registry = Path(sys.argv[1])
registry.write_text(registry.read_text() + " begun")
time.sleep(float(sys.argv[2]))
registry.write_text(registry.read_text() + " ended")
"""


def start(
    folder: Path, *arguments: str, code: str = RUN, accepted: tuple[int, ...] = (0,)
) -> Running:
    line = (sys.executable, "-c", code, *arguments)
    log = folder / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(line, stdout=output, stderr=output)
    return Running(process, line, accepted, log)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    path = tmp_path / "registry.db"
    path.write_text("applied")
    return path


def test_run_is_killed_when_it_has_begun(registry: Path, tmp_path: Path) -> None:
    before = registry_state(registry)
    run = start(tmp_path, str(registry), "60")
    await_begun(run, registry, before)
    kill(run)
    assert registry.read_text() == "applied begun"


def test_paused_run_goes_on(registry: Path, tmp_path: Path) -> None:
    before = registry_state(registry)
    run = start(tmp_path, str(registry), "0.5")
    await_begun(run, registry, before)
    pause(run)
    # Far longer than the run would have taken.
    assert not wait_until(lambda: "ended" in registry.read_text(), limit_s=1.0)
    resume(run)
    finish_all([run])
    assert registry.read_text() == "applied begun ended"


def test_run_that_never_begins_is_told(registry: Path, tmp_path: Path) -> None:
    run = start(tmp_path, code="pass")
    with pytest.raises(CommandError, match="noted no begin"):
        await_begun(run, registry, registry_state(registry))


def test_failure_is_told_with_the_last_lines_and_ends_the_others(
    registry: Path, tmp_path: Path
) -> None:
    other = start(tmp_path, str(registry), "60")
    failing = start(tmp_path, code="print('what went wrong'); raise SystemExit(5)")
    with pytest.raises(CommandError, match=r"exit code 5(.|\n)*what went wrong"):
        finish_all([failing, other])
    assert other.process.poll() is not None
    finish_all([start(tmp_path, code="raise SystemExit(3)", accepted=(0, 3))])
