from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.repo.sources import PACKAGES, ROOT

INSTALLED = ("evenstore", "serving", "parity", "training")
HEAVY = ("feast", "redis", "duckdb", "pandas", "fastapi", "sklearn")


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_this_repositorys_own(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert Path(str(spec.origin)).is_relative_to(ROOT)


@pytest.mark.parametrize("name", INSTALLED)
def test_no_other_distribution_ships_the_package(name: str) -> None:
    owners = set(metadata.packages_distributions().get(name, []))
    assert owners <= {"evenstore"}


def test_feature_repo_files_shadow_nothing() -> None:
    """Feast imports them by bare name, with its path last: a taken name is lost in silence."""
    taken = set(sys.stdlib_module_names) | set(metadata.packages_distributions()) | set(PACKAGES)
    taken |= {path.name for path in ROOT.iterdir() if path.is_dir()}
    names = {path.stem for path in (ROOT / "feature_repo").rglob("*.py")}
    assert names
    assert not names & taken


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("evenstore.schema.document", HEAVY),
        ("evenstore.codec.entity_key", HEAVY),
        ("evenstore.codec.feast_value", HEAVY),
        ("evenstore.sql.point_in_time", HEAVY),
        ("evenstore.semantics", (*HEAVY, "pyarrow", "numpy")),
        ("evenstore.client.http", HEAVY),
        ("evenstore.online.lookup", ("feast", "pandas", "duckdb", "pyarrow")),
        ("serving.worker", ("feast", "pandas", "duckdb", "pyarrow")),
    ],
)
def test_import_stays_light(module: str, forbidden: tuple[str, ...]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.split()
    assert not set(loaded) & set(forbidden)
