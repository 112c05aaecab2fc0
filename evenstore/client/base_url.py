"""The base URL of a gateway, as a command line takes it."""

from __future__ import annotations

import argparse

__all__ = ["base_url"]


def base_url(text: str) -> str:
    """Check a base URL; the `type` of an argument.

    Raises:
        ArgumentTypeError: It has no scheme, or carries a user or password.
    """
    if not text.startswith(("http://", "https://")):
        msg = f"not a URL: {text!r}; write http://HOST:PORT"
        raise argparse.ArgumentTypeError(msg)
    if "@" in text:
        msg = "a URL with a user or password; the gateway takes none yet"
        raise argparse.ArgumentTypeError(msg)
    return text
