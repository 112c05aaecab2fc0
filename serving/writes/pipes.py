"""The pipes between a process of the gateway and the one that started it."""

from __future__ import annotations

import os

__all__ = ["read_line", "take_standard_output"]

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def take_standard_output() -> int:
    """Return the pipe to the parent; whatever prints from here on prints to the log's stream."""
    pipe = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    return pipe


def read_line() -> bytes:
    """Read one line of standard input, unbuffered: the rest stays where its end is watched for."""
    with os.fdopen(os.dup(_STDIN), "rb", buffering=0) as stream:
        return stream.readline()
