"""Runs every command of the README except `make test`, and compares what it prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.e2e.console_blocks import Block, assert_prints, parse_console
from tests.e2e.model_reports import assert_equal_reports
from tests.e2e.walkthrough import left_running
from tests.repo.sources import ROOT
from tests.support.ports import free_port
from tests.support.redis_process import wait_until
from tests.support.scale import scaled

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(700)]

COMMITTED_REPORTS = ROOT / "docs" / "reports" / "online-retail"
REAL_DATA = ROOT.parent / "shared" / "data" / "online_retail.parquet"
DATA = "online_retail.parquet"

SERVE = "make serve"

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [
    parse_console(body) for body in re.findall(r"```console\n(.*?)```", TEXT, flags=re.DOTALL)
]


def run(command: str, environ: dict[str, str]) -> str:
    done = subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_readme_shows_the_commands_that_matter() -> None:
    commands = [command for block in BLOCKS for command, _ in block.commands]
    assert {"make demo", f"make demo DATA={DATA}", "make serve", "make stop"} <= set(commands)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_readme_command_prints_what_the_readme_says(block: Block, tmp_path: Path) -> None:
    uses_real_data = DATA in block.name
    if uses_real_data and not REAL_DATA.exists():
        pytest.skip("the real data set is not beside this clone")
    if block.name.startswith(("make demo", "make duel", SERVE)) and scaled(0, 1) == 0:
        pytest.skip("runs in `make test-full`: minutes, of the steps that the served shop takes")
    # Without what `make test` hands down: a user's make is nobody's child.
    environ = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    environ.pop("MFLAGS", None)
    environ |= {"EVENSTORE_HOME": str(tmp_path), "PORT": str(free_port())}
    try:
        for command, expected in block.commands:
            printed = run(command.replace(DATA, str(REAL_DATA)), environ)
            assert_prints(printed, expected, any_number=not uses_real_data)
            if uses_real_data:
                assert_equal_reports(tmp_path / "reports", COMMITTED_REPORTS)
            for curl in [line for line in printed.splitlines() if line.startswith("curl ")]:
                assert run(f"{curl} --fail-with-body", environ).startswith("{")
    finally:
        subprocess.run(["make", "stop"], cwd=ROOT, env=environ, check=True, capture_output=True)
    assert wait_until(lambda: left_running(tmp_path) == [])
