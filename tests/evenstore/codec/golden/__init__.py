"""Frozen bytes of released formats: a file of a released version never changes."""

from __future__ import annotations

from pathlib import Path

__all__ = ["golden"]


def golden(name: str) -> bytes:
    """Read one golden file of format version 1."""
    return (Path(__file__).parent / "v1" / f"{name}.bin").read_bytes()
