"""Removes the walk-through's rows from Redis: those of its own project, and nothing else."""

from __future__ import annotations

import contextlib

from demo.settings import DemoSettings
from evenstore.compute.watermark import delete_all_watermarks
from evenstore.online.connection import open_redis
from evenstore.online.purge import delete_project

__all__ = ["forget_rows"]


def forget_rows(settings: DemoSettings, url: str) -> None:
    """Remove every row and watermark of the walk-through's project.

    Raises:
        OnlineStoreUnavailableError: Redis cannot be reached.
    """
    with contextlib.closing(open_redis(url)) as client:
        delete_project(client, settings.project)
        delete_all_watermarks(client, settings.project)
