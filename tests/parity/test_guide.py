"""The guide, and the CI forms that users copy: every command line in them is one that exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from parity.cli import main
from parity.commands import COMMANDS, GROUPS
from parity.waivers.file import read_waivers
from tests.repo.sources import ROOT

GUIDES = ROOT / "docs" / "guides"
PAGES = [
    GUIDES / "parity.md",
    GUIDES / "ci" / "parity.yml",
    ROOT / "docs" / "concepts" / "parity.md",
]
SCRIPT = GUIDES / "ci" / "parity.sh"
_LINE = re.compile(r"^(?:\$ )?evenstore-parity (.+)$")


def command_lines(page: Path) -> list[list[str]]:
    """The arguments of each command line of a page; variables stand for themselves."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    matches = [_LINE.match(line.strip()) for line in text.splitlines()]
    lines = [match[1].split(" || ")[0] for match in matches if match is not None]
    return [[word for word in shlex.split(line) if word != "$@"] for line in lines]


def understand(monkeypatch: pytest.MonkeyPatch, lines: list[list[str]]) -> None:
    """Have the command read each line, and do nothing more."""
    reached: list[object] = []

    def note(*arguments: object) -> int:
        reached.append(arguments)
        return 0

    monkeypatch.setattr("parity.cli._run", note)
    for arguments in lines:
        known = ["http://127.0.0.1:6566" if word == "$GATEWAY" else word for word in arguments]
        assert main(known) == 0, arguments
    assert len(reached) == len(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_are_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = command_lines(page)
    assert lines
    understand(monkeypatch, lines)


@pytest.mark.parametrize(("code", "keeps"), [(0, True), (3, True), (1, False)])
def test_shell_form_hands_on_the_exit_code_and_keeps_the_report_for_the_next_run(
    code: int, *, keeps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands for the command, which needs a gateway: notes what it was given, and writes a report.
    command = tmp_path / "evenstore-parity"
    command.write_text(
        '#!/bin/sh\nfor word; do echo "$word"; done >> said\necho end >> said\n'
        f"echo '{{}}' > parity/report.json\nexit {code}\n"
    )
    command.chmod(0o755)
    (tmp_path / "parity_waivers.toml").write_text("")
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for _ in range(2):
        run = subprocess.run(["sh", str(SCRIPT)], cwd=tmp_path, env=environ, check=False)
        assert run.returncode == code
    said = (tmp_path / "said").read_text().split("end\n")[:-1]
    lines = [words.splitlines() for words in said]
    understand(monkeypatch, lines)
    assert ["--previous" in line for line in lines] == [False, keeps]
    assert all("--waivers" in line for line in lines)


def test_guide_names_every_mode() -> None:
    text = (GUIDES / "parity.md").read_text(encoding="utf-8")
    assert set(GROUPS) == {"golden"}
    for entry in COMMANDS:
        if entry.exists and entry.words != ("golden", "build"):
            assert f"`{' '.join(entry.words)}`" in text


def test_waivers_of_the_guide_are_read(tmp_path: Path) -> None:
    text = (GUIDES / "parity.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    path = tmp_path / "waivers.toml"
    path.write_text(block)
    assert [waiver.name for waiver in read_waivers(path)] == [
        "customer_activity:spend_30d",
        "product_demand:units_24h",
    ]


def test_workflow_is_yaml_and_its_scripts_and_the_shell_form_are_shell() -> None:
    workflow = yaml.safe_load((GUIDES / "ci" / "parity.yml").read_text(encoding="utf-8"))
    assert set(workflow["jobs"]) == {"golden", "live"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    scripts = [step["run"] for step in steps if "run" in step]
    scripts.append(SCRIPT.read_text(encoding="utf-8"))
    for script in scripts:
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)
