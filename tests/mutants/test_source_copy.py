"""The copy of the source tree: a mutant in it counts, and is gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.catalogue.mutants import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.source_copy import SourceCopy
from tests.repo.sources import ROOT


def _mutant(name: str) -> Mutant:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == name]
    return mutant


def test_mutant_counts_though_its_file_was_compiled_before(tmp_path: Path) -> None:
    copy = SourceCopy(tmp_path)
    copy.compile()
    mutant = _mutant("online-fast-ttl-check-exclusive")
    path = copy.folder / mutant.file
    before = path.stat()

    def is_edge_within_ttl() -> str:
        code = (
            "import evenstore.semantics as s; "
            "print(s.is_within_ttl(event_us=1, as_of_us=2, ttl_us=1), s.__file__)"
        )
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=copy.environ({}),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    assert is_edge_within_ttl() == f"True {path}"
    with copy.mutated(mutant):
        # Even where neither time nor place of the file tells.
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert is_edge_within_ttl() == f"False {path}"
    assert is_edge_within_ttl() == f"True {path}"


def test_copy_is_put_right_whatever_happens(tmp_path: Path) -> None:
    copy = SourceCopy(tmp_path)
    mutant = _mutant("last-write-wins")

    def interrupt() -> None:
        with copy.mutated(mutant):
            assert mutant.old not in (tmp_path / mutant.file).read_text()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert (tmp_path / mutant.file).read_text() == (ROOT / mutant.file).read_text()
