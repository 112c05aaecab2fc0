"""The documents against the code: what is listed exists, and what exists is listed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from evenstore.compute.engine import DuckDBComputeEngineConfig
from evenstore.errors import EvenstoreError
from evenstore.offline.store import DuckDBOfflineStoreConfig
from evenstore.online.store import RedisOnlineStoreConfig
from serving.errors import _CODES_BY_STATUS, HTTP_STATUSES
from tests.repo import cli_reference
from tests.repo.sources import PACKAGES, ROOT, tracked_files

REFERENCE = ROOT / "docs" / "reference"
MARKDOWN = [path for path in tracked_files() if path.suffix == ".md"]


def _first_cells(page: str, heading: str | None = None) -> set[str]:
    text = (REFERENCE / page).read_text(encoding="utf-8")
    if heading is not None:
        text = text.split(heading, 1)[1]
        text = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"^\| `([^`]+)`", text, flags=re.MULTILINE))


def test_cli_page_is_what_the_commands_say() -> None:
    assert cli_reference.PATH.read_text(encoding="utf-8") == cli_reference.render()


def test_every_error_code_is_listed_with_its_status() -> None:
    text = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w-]+)` \| (\d+) \|", text, flags=re.MULTILINE))
    actual = {kind.code: str(status) for kind, status in HTTP_STATUSES.items()}
    actual |= {code: str(status) for status, code in _CODES_BY_STATUS.items() if code not in actual}
    assert listed == actual


@pytest.mark.parametrize(
    "config", [DuckDBOfflineStoreConfig, RedisOnlineStoreConfig, DuckDBComputeEngineConfig]
)
def test_every_store_setting_is_listed(config: type) -> None:
    name = config.__name__.removesuffix("Config")
    fields: dict[str, object] = config.model_fields  # type: ignore[attr-defined]
    assert _first_cells("settings.md", f".{name}\n") == set(fields)


def test_every_environment_variable_is_listed() -> None:
    used = set()
    for path in tracked_files(*PACKAGES, "feature_repo", "tests/support", "Makefile", ".ci"):
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"\bEVENSTORE_[A-Z]+(?:_[A-Z]+)*\b", text))
    assert _first_cells("settings.md", "## Environment variables") == used


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:evenstore|serving|parity|training|demo|tests|docs)/[\w/.-]+)`", text)
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]


def test_decision_index_lists_every_record() -> None:
    folder = ROOT / "docs" / "adr"
    records = {path.name for path in folder.glob("[0-9]*.md")} - {"0000-template.md"}
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", index)) == records
    for name in records:
        title = (folder / name).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"[{title}]" in index


def test_changelog_knows_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "docs" / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {project['version']}" in changelog


def test_error_tree_is_one_module_and_few_others() -> None:
    """Codes are unique, so that a caller can branch on them."""

    def walk(kind: type[EvenstoreError]) -> list[type[EvenstoreError]]:
        return [kind, *(item for child in kind.__subclasses__() for item in walk(child))]

    codes = [kind.code for kind in walk(EvenstoreError)]
    assert len(codes) == len(set(codes))
