"""How a Redis server is named: URLs, Feast's connection form, and both without their password."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from urllib.parse import quote, urlencode, urlsplit

from evenstore.errors import ConfigurationError

__all__ = ["CONNECTION_HINT", "parse_connection", "redact_url"]

CONNECTION_HINT = (
    "use a URL such as `redis://:password@host:6379/0`, "
    "or Feast's form `host:6379,db=0,password=...`"
)
_SECRETS = (
    # Greedy up to the last @, because an unquoted password may hold any character.
    (re.compile(r"(?s)(?<=://)(?!/)([^:@]*):.*@"), r"\1:***@"),
    # A user alone may be a password whose colon was forgotten.
    (re.compile(r"(?s)(?<=://)(?!/)[^:@/]+@"), "***@"),
    (re.compile(r"(?is)([?&]password=)[^&]*"), r"\1***"),
    (re.compile(r"(?is)((?:^|,)\s*password=)[^,]*"), r"\1***"),
)


def redact_url(url: str) -> str:
    """Replace the password of a URL, or of Feast's connection form, by `***`."""
    for pattern, replacement in _SECRETS:
        url = pattern.sub(replacement, url)
    return url


def parse_connection(text: str, *, where: str) -> str:
    """Turn a URL or Feast's `host:port,key=value` form into a URL.

    Args:
        text: What was configured.
        where: The setting, for the message, which never shows the text.

    Raises:
        ConfigurationError: Neither form.
    """
    if text.startswith(("redis://", "rediss://", "unix://")):
        if not _has_database(text):
            msg = f"{where}: the path of a Redis URL is the number of a database"
            raise ConfigurationError(msg, hint="for example redis://127.0.0.1:6379/0")
        return text
    node, *settings = [part.strip() for part in text.split(",")]
    options = dict(setting.partition("=")[::2] for setting in settings)
    username, password = (_unquoted(options.pop(name, "")) for name in ("username", "password"))
    scheme = {"false": "redis", "true": "rediss"}.get(options.pop("ssl", "false").lower())
    database = options.pop("db", "0")
    is_node = re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", node)
    is_known = all(re.fullmatch(r"ssl_\w+|socket_(connect_)?timeout", name) for name in options)
    if not (is_node and is_known and scheme and database.isdecimal()):
        # The text is not shown: what is not understood may be a password.
        msg = f"{where} is neither a Redis URL nor Feast's form for one server"
        raise ConfigurationError(msg, hint=CONNECTION_HINT)
    user = quote(username, safe="") + (":" + quote(password, safe="") if password else "")
    query = "?" + urlencode(options) if options else ""
    return f"{scheme}://{user}{'@' if user else ''}{node}/{database}{query}"


def _has_database(url: str) -> bool:
    # redis-py takes database 0 for any path that is no number: on a shared server, somebody else's.
    parts = urlsplit(url)
    return parts.scheme == "unix" or bool(re.fullmatch(r"/?\d*", parts.path))


def _unquoted(value: str) -> str:
    # Feast decodes the values as JSON, so a password may stand in quotes; a number stays as it is.
    with suppress(ValueError):
        decoded = json.loads(value)
        return decoded if isinstance(decoded, str) else value
    return value
