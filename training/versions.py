"""Versions of the libraries that a dataset or a model depends on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["installed_versions", "major_version"]


def installed_versions(*distributions: str) -> dict[str, str]:
    """Return the installed version of each distribution; those not installed are left out."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def major_version(text: str) -> str:
    """Return the part before the first dot."""
    return text.partition(".")[0]
