"""Runs every command of the README except `make test`, and compares what it prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.walkthrough import free_port, left_running
from tests.repo.sources import ROOT
from tests.support.redis_process import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.slow]

REAL_DATA = ROOT.parent / "shared" / "data" / "online_retail.parquet"
DATA = "online_retail.parquet"

# What differs from run to run, on any data.
_VOLATILE = (
    (re.compile(r" +[\d.,]+ s\b"), " # s"),
    (re.compile(r"[\d.,]+ ms\b"), "# ms"),
    (re.compile(r"unix://\S+"), "unix://#"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:#"),
    (re.compile(r" {2,}"), " "),
)
_NUMBER = re.compile(r"\d[\d,.:-]*")


@dataclass(frozen=True)
class Block:
    """A console block: commands, each with the lines it prints; `...` stands for any lines."""

    commands: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def name(self) -> str:
        return self.commands[0][0]


def _blocks() -> Iterator[Block]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for body in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
        parts = re.split(r"^\$ (.*)\n", body, flags=re.MULTILINE)[1:]
        commands = zip(parts[::2], parts[1::2], strict=True)
        yield Block(tuple((command, tuple(lines.splitlines())) for command, lines in commands))


BLOCKS = list(_blocks())


def _normalise(line: str, *, any_number: bool) -> str:
    for pattern, replacement in _VOLATILE:
        line = pattern.sub(replacement, line)
    # Generated data end today, so counts and dates move with the day.
    return _NUMBER.sub("#", line) if any_number else line


def _assert_prints(printed: str, expected: tuple[str, ...], *, any_number: bool) -> None:
    lines = [_normalise(line, any_number=any_number).strip() for line in printed.splitlines()]
    at, may_skip = 0, False
    for wanted in expected:
        if wanted == "...":
            may_skip = True
            continue
        line = _normalise(wanted, any_number=any_number).strip()
        if may_skip:
            assert line in lines[at:], f"never printed: {wanted}"
            at = lines.index(line, at)
        assert lines[at] == line, f"printed {lines[at]!r}, README says {wanted!r}"
        at, may_skip = at + 1, False
    assert may_skip or at == len(lines), f"the README leaves out {lines[at:]}"


def _run(command: str, environ: dict[str, str]) -> str:
    done = subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=280,
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
    # Without what `make test` hands down: a user's make is nobody's child.
    environ = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    environ.pop("MFLAGS", None)
    environ |= {"EVENSTORE_HOME": str(tmp_path), "PORT": str(free_port())}
    try:
        for command, expected in block.commands:
            printed = _run(command.replace(DATA, str(REAL_DATA)), environ)
            _assert_prints(printed, expected, any_number=not uses_real_data)
            for curl in [line for line in printed.splitlines() if line.startswith("curl ")]:
                assert _run(f"{curl} --fail-with-body", environ).startswith("{")
    finally:
        subprocess.run(["make", "stop"], cwd=ROOT, env=environ, check=True, capture_output=True)
    assert wait_until(lambda: left_running(tmp_path) == [])
