"""What a folder holds: names, bytes, times, modes."""

from __future__ import annotations

from pathlib import Path

__all__ = ["folder_state"]


def folder_state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Describe every file and folder below one, so that any change shows."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            b"" if path.is_dir() else path.read_bytes(),
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }
