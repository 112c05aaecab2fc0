"""Follows docs/guides/add-a-feature.md in a clone, step by step, and compares what it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evenstore.client.http import FeatureClient
from evenstore.semantics import Status
from tests.e2e.console_blocks import assert_prints, parse_console
from tests.e2e.terminal import Terminal
from tests.e2e.walkthrough import SMALL, left_running
from tests.repo.sources import ROOT, tracked_files
from tests.support.ports import free_port
from tests.support.redis_process import wait_until
from tests.support.scale import full_only

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.slow]

GUIDE = ROOT / "docs" / "guides" / "add-a-feature.md"
N_STEPS = 10
PORT = "6566"
DEMO = ".venv/bin/python -m demo"
READER = ("user.name=reader", "user.email=reader@example.com", "commit.gpgsign=false")
GIT = ["git", *(word for setting in READER for word in ("-c", setting))]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the working tree as it is, with this environment instead of one of its own."""
    folder = tmp_path / "clone"
    for path in tracked_files():
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as cloned"]):
        subprocess.run([*GIT, *arguments], cwd=folder, check=True)
    # To git a link is a file, and `.gitignore` names a folder.
    (folder / ".git" / "info" / "exclude").write_text("/.venv\n")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture
def gateway(clone: Path, environ: dict[str, str]) -> Iterator[str]:
    """Where the guide's gateway will be; whatever the guide started is stopped at the end."""
    try:
        yield f"http://127.0.0.1:{free_port()}"
    finally:
        stop = [*DEMO.split(), "stop"]
        subprocess.run(stop, cwd=clone, env=environ, check=True, capture_output=True)
    assert wait_until(lambda: left_running(clone / ".evenstore") == [])


@pytest.fixture
def environ(clone: Path) -> dict[str, str]:
    """A reader's environment: nobody's child, and this clone's code before any other."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("EVENSTORE_", "MAKE", "MFLAGS", "PYTEST_", "VIRTUAL_ENV"))
    }
    return kept | {"PYTHONPATH": str(clone)}


def test_the_guide_has_ten_steps() -> None:
    numbers = re.findall(r"^## (\d+)\. ", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert numbers == [str(number + 1) for number in range(N_STEPS)]


# Some twenty commands, most of which import Feast: more than a minute on an idle machine.
@pytest.mark.timeout(600)
@full_only
def test_the_guide_leads_to_a_feature_in_both_stores(
    clone: Path, gateway: str, environ: dict[str, str]
) -> None:
    steps, undo = GUIDE.read_text(encoding="utf-8").split("\nTo undo it all:\n")
    with Terminal(clone, environ) as terminal:
        found = terminal.run(".venv/bin/python -c 'import evenstore; print(evenstore.__file__)'")
        assert found.strip() == str(clone / "evenstore" / "__init__.py")
        _follow(steps, terminal, clone, gateway)
        assert _online(clone, gateway) == _offline(clone)
        _follow(undo, terminal, clone, gateway)
        assert terminal.run("git status --short") == ""


def _follow(text: str, terminal: Terminal, clone: Path, gateway: str) -> None:
    """Apply each diff and paste each command, in the order of the page."""
    for kind, body in re.findall(r"```(diff|console)\n(.*?)```", text, flags=re.DOTALL):
        if kind == "diff":
            subprocess.run(["git", "apply", "-"], cwd=clone, input=body, text=True, check=True)
            continue
        for command, expected in parse_console(body).commands:
            assert_prints(terminal.run(_small(command, gateway)), expected, any_number=True)


def _small(command: str, gateway: str) -> str:
    """Return a command for a small shop on a free port; its `make` would make a `.venv`."""
    port = gateway.rpartition(":")[2]
    whole = {
        "make serve": f"{DEMO} serve --port {port} {' '.join(SMALL)}",
        "make stop": f"{DEMO} stop",
    }
    return whole.get(command, command.replace(f":{PORT}", f":{port}"))


def _offline(clone: Path) -> dict[int, int]:
    """Units by customer, over all their invoice lines until last midnight."""
    table = pq.read_table(clone / ".evenstore/features/customer_profile")
    newest = table.group_by("customer_id").aggregate([("lifetime_units", "max")])
    return dict(zip(*(column.to_pylist() for column in newest.columns), strict=True))


def _online(clone: Path, gateway: str) -> dict[int, int]:
    customers = sorted(_offline(clone))
    with FeatureClient(gateway) as client:
        answer = client.get_online_features(
            features=["customer_profile:lifetime_units"], entities={"customer_id": customers}
        )
    assert set(answer.statuses["lifetime_units"]) == {Status.PRESENT}
    return dict(zip(customers, answer.values["lifetime_units"], strict=True))
