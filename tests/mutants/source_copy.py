"""A copy of the source tree, in which mutants are put one at a time."""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.repo.sources import ROOT, tracked_files

__all__ = ["SourceCopy"]

_FOLDERS = (
    *("evenstore", "serving", "parity"),
    *("tests/__init__.py", "tests/support", "tests/mutants", "tests/repo"),
)


class SourceCopy:
    """What golden needs of the source tree, in a folder of its own.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        for path in tracked_files(*_FOLDERS):
            target = self.folder / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def compile(self) -> None:
        """Compile it once for many processes.

        What is compiled counts only while its source has the same hash, whatever its time says: a
        mutant is never passed over.
        """
        compileall.compile_dir(
            self.folder,
            quiet=2,
            invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
        )

    @contextmanager
    def mutated(self, mutant: Mutant | None) -> Iterator[None]:
        """Put a mutant in for the block; None leaves the code as it is.

        Raises:
            ValueError: The mutant's text is not in its file, or more than once.
        """
        if mutant is None:
            yield
            return
        path = self.folder / mutant.file
        text = path.read_text(encoding="utf-8")
        path.write_text(mutant.apply_to(text), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(text, encoding="utf-8")

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of processes that import this copy, and their own children."""
        ours = ("EVENSTORE_", "FEAST_", "PYTHON")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        # Nothing is compiled into the copy while mutants come and go.
        return {
            **kept,
            **more,
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
