"""One Redis command as the bytes that go over the wire (RESP, version 2)."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["encode_bulk", "encode_command"]


def encode_bulk(argument: bytes | int | str) -> bytes:
    """Encode one argument of a command."""
    if not isinstance(argument, bytes):
        argument = str(argument).encode()
    return b"$%d\r\n%b\r\n" % (len(argument), argument)


def encode_command(arguments: Sequence[bytes | int | str]) -> bytes:
    """Encode a command."""
    return b"*%d\r\n" % len(arguments) + b"".join(encode_bulk(item) for item in arguments)
