from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.repo.sources import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def _requirement_names(specifiers: list[str]) -> Iterator[str]:
    for specifier in specifiers:
        name = re.split(r"[\[<>=~!; ]", specifier)[0]
        if name != "evenstore":
            yield re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_is_pinned_with_hashes() -> None:
    entries = re.split(r"\n(?=[a-z0-9])", LOCK.strip())
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_lock_names_no_address() -> None:
    assert "://" not in LOCK
    assert "--index-url" not in LOCK
    assert "--find-links" not in LOCK


def _declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    specifiers = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        specifiers += extra
    for group in project["dependency-groups"].values():
        specifiers += [item for item in group if isinstance(item, str)]
    return sorted(set(_requirement_names(specifiers)))


@pytest.mark.parametrize("name", _declared())
def test_lock_covers_what_is_declared(name: str) -> None:
    assert re.search(rf"^{re.escape(name)}==", LOCK, flags=re.MULTILINE)
