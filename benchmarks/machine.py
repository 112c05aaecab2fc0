"""What a reader must know of the machine to judge figures; no names and no paths."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from evenstore.clock import SystemClock, format_us

__all__ = ["machine_facts"]

_PACKAGES = (
    "feast",
    "duckdb",
    "ibis-framework",
    "pyarrow",
    "numpy",
    "pandas",
    "polars",
    "redis",
    "hiredis",
)


def machine_facts() -> dict[str, str | int | float]:
    """Collect day, commit, processor, memory and versions."""
    facts: dict[str, str | int | float] = {
        "date": format_us(SystemClock().now_us())[:10],
        "commit": _commit(),
        "cores": os.cpu_count() or 0,
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _commit() -> str:
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
