"""Ports for servers that a test starts itself, or starts again where they were."""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

_ANY = random.SystemRandom()  # Not `random`: pytest-randomly seeds it alike in every process.
_PORTS = range(20_000, 30_000)


def free_port() -> int:
    """Return a port that nothing listens on now.

    Below those that a system gives away by itself: a port found by binding to 0 may be given to
    the next connection of any process before the server has it, or while the server is down.
    """
    while True:
        port = _ANY.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
