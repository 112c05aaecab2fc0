"""The repository's own files, as the rules about them need them."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "python_files", "tracked_files"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("evenstore", "serving", "parity", "training", "demo")


def tracked_files(*patterns: str) -> list[Path]:
    """List files that git has or would take, so that what a run made does not count."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def python_files(*packages: str) -> list[Path]:
    """List the Python files of some top-level folders."""
    return [path for path in tracked_files(*packages) if path.suffix == ".py"]
