"""Executes docs/notebooks/training-dataset.ipynb on a served shop, with the packaged code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest

from evenstore.semantics import Status
from tests.e2e.conftest import Shop
from tests.repo.sources import ROOT

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.redis,
    pytest.mark.slow,
]

NOTEBOOK = ROOT / "docs" / "notebooks" / "training-dataset.ipynb"
MOST_BYTES = 20_000
WHERE_FROM = """
import json, sys
print(json.dumps(sorted(
    module.__file__ for name, module in sys.modules.items()
    if name.partition(".")[0] in ("evenstore", "training")
)))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The wheel that users install, unpacked."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    folder = tmp_path / "wheel"
    subprocess.run([*build, "--no-index", "-w", folder, ROOT], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "package")
    return tmp_path / "package"


def test_the_notebook_is_stored_without_what_a_run_leaves() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert 8 <= len(code) <= 12
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert NOTEBOOK.stat().st_size < MOST_BYTES


def test_the_notebook_shows_what_it_says(shop: Shop, package: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(WHERE_FROM))
    notebook = _execute(notebook, shop, package, tmp_path)

    shown = [_shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    loaded = [Path(path) for path in json.loads(shown.pop())]
    assert package / "training" / "dataset.py" in loaded
    assert all(path.is_relative_to(package) for path in loaded)
    text = "\n".join(shown)
    counts = [_number(rf"{name} +(\d+)", text) for name in ("after an outage", "differing rows")]
    assert 0 < counts[0] <= counts[1] == _number(r"created after the night +(\d+)", text)
    for status in set(Status) - {Status.INVALID}:
        assert _number(rf"{status.name} +(\d+)", text) > 0
    assert _number(r"features compared +(\d+)", text) > 10
    assert re.search(r"features that differ +\[\]", text), text


def _execute(notebook: Any, shop: Shop, package: Path, folder: Path) -> Any:
    """Run all cells in a kernel that works outside the clone and writes to nobody's home."""
    path = folder / "elsewhere" / NOTEBOOK.name
    path.parent.mkdir()
    nbformat.write(notebook, path)
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    executed = subprocess.run(
        [Path(sys.executable).parent / "jupyter-execute", "--inplace", "--timeout=600", path],
        env={
            **os.environ,
            **{name: str(folder / name.lower()) for name in own},
            "PYTHONPATH": str(package),
            "EVENSTORE_NOTEBOOK_REPO": str(shop.home / "feature_repo"),
            "EVENSTORE_NOTEBOOK_GATEWAY": shop.gateway,
        },
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert executed.returncode == 0, executed.stderr
    return nbformat.read(path, as_version=4)


def _shown(cell: Any) -> str:
    """Return what a reader sees below a cell, but for what went to standard error."""
    texts = [
        output.data["text/plain"] if "data" in output else output.text
        for output in cell.outputs
        if output.get("name") != "stderr"
    ]
    return "\n".join(texts)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])
