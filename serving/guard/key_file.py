"""The file of API keys: one record per key, with the key's hash and never the key.

```json
{"format": 1, "keys": [
  {"name": "checkout", "scopes": ["read"], "sha256": "...", "created": "...", "expires": null}]}
```

A plain SHA-256 is enough here, and a slow password hash would buy nothing: keys are made by this
module from 32 random bytes, so that there is nothing to guess and no table to precompute. Slow
hashes are for secrets that people choose, and one would cost each request more than its lookup.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from evenstore.clock import Clock, datetime_to_us, format_us
from evenstore.errors import ConfigurationError
from evenstore.whole_file import whole_file

__all__ = [
    "KEY_PREFIX",
    "SCOPES",
    "KeyRecord",
    "Scope",
    "create_key",
    "hash_key",
    "read_records",
    "revoke_key",
    "warn_of_mode",
]

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

KEY_PREFIX = "evs_"
"""Begins every key, so that scanners of repositories and the log's own scrubber know one."""

_FORMAT = 1
_MODE = 0o600
_N_KEY_BYTES = 32
_SHA256_HEX_LENGTH = 64
_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of one key.

    Attributes:
        name: Whose it is; unique in its file, and shown in logs.
        scopes: What it allows.
        sha256: Hash of the key, hexadecimal.
        created: Instant, RFC 3339.
        expires_us: From that instant on it is refused; None for never.
    """

    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created: str
    expires_us: int | None = None

    def describe(self) -> dict[str, Any]:
        """Return what may be shown of it: all but the hash."""
        return {
            "name": self.name,
            "scopes": list(self.scopes),
            "created": self.created,
            "expires": None if self.expires_us is None else format_us(self.expires_us),
        }


def hash_key(key: bytes) -> bytes:
    """Return the 32 bytes by which a key is known."""
    return hashlib.sha256(key).digest()


def read_records(path: Path) -> tuple[KeyRecord, ...]:
    """Read a file of keys.

    Raises:
        ConfigurationError: It cannot be read, is not a file of keys, or anyone may write to it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()
    except OSError as exc:
        msg = f"the API keys cannot be read: {path}: {exc.strerror}"
        hint = "make the file with `evenstore-serve keys create`"
        raise ConfigurationError(msg, hint=hint) from exc
    if mode & stat.S_IWOTH:
        msg = f"anyone on this machine can write to the API keys: {path}"
        raise ConfigurationError(msg, hint=f"run `chmod 600 {path}` and look at who is in it")
    try:
        return _records(text)
    except (ValueError, TypeError, LookupError):
        msg = f"not a file of API keys: {path}"
        # Without its cause: a parser's error quotes what it could not read.
        hint = "make one with `evenstore-serve keys create`"
        raise ConfigurationError(msg, hint=hint) from None


def warn_of_mode(path: Path) -> str | None:
    """Return what is unwise about the file's mode, if anything."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if mode & stat.S_IROTH:
        return f"anyone on this machine can read the names and hashes of the API keys: {path}"
    return None


def create_key(
    path: Path,
    name: str,
    scopes: Sequence[Scope],
    clock: Clock,
    *,
    expires_in_s: float | None = None,
) -> tuple[KeyRecord, str]:
    """Make a key and add its record to the file, which is made when there is none.

    Where `path` is a link, the file that it leads to is written. A file that is there keeps its
    owner, group and mode.

    Args:
        path: The file.
        name: Whose key it is.
        scopes: What it allows.
        clock: Says when it was created.
        expires_in_s: How long it is valid; None for ever.

    Returns:
        The record, and the key, which is nowhere else.

    Raises:
        ConfigurationError: The name is taken or not a name, or the file cannot be used.
    """
    _check_name(name)
    if not scopes:
        msg = f"the key `{name}` has no scope"
        raise ConfigurationError(msg, hint=f"give it at least one of: {', '.join(SCOPES)}")
    key = KEY_PREFIX + secrets.token_urlsafe(_N_KEY_BYTES)
    now_us = clock.now_us()
    record = KeyRecord(
        name=name,
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        sha256=hash_key(key.encode()).hex(),
        created=format_us(now_us),
        expires_us=None if expires_in_s is None else now_us + int(expires_in_s * _US_PER_S),
    )
    path = _real(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        records = read_records(path) if path.exists() else ()
        if any(other.name == name for other in records):
            msg = f"there is a key `{name}` already"
            raise ConfigurationError(
                msg, hint="to rotate: create one of another name, move callers, revoke the old one"
            )
        _write(path, [*records, record])
    return record, key


def revoke_key(path: Path, name: str) -> KeyRecord:
    """Remove a key's record; gateways refuse the key within a second.

    Links, owner, group and mode are kept as by `create_key`.

    Raises:
        ConfigurationError: There is no such key, or the file cannot be used.
    """
    path = _real(path)
    with _locked(path.parent):
        records = read_records(path)
        revoked = next((record for record in records if record.name == name), None)
        if revoked is None:
            msg = f"there is no key `{name}`"
            raise ConfigurationError(msg, hint="`evenstore-serve keys list` shows their names")
        _write(path, [record for record in records if record is not revoked])
    return revoked


def _real(path: Path) -> Path:
    # The file is renamed into its place: a link would be replaced, and what it leads to left alone.
    return Path(os.path.realpath(path))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Two commands at once would each write the file without the other's key. The folder itself is
    # locked: a lock on the file would be on one that is about to be replaced.
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as exc:
        msg = f"cannot use `{folder}`: {exc.strerror}"
        raise ConfigurationError(msg, hint="`--file` takes a file in a folder of yours") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, records: Sequence[KeyRecord]) -> None:
    keys = [{**record.describe(), "sha256": record.sha256} for record in records]
    document = {"format": _FORMAT, "keys": keys}
    before = path.stat() if path.exists() else None
    with whole_file(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(descriptor, "wb") as stream:
            if before is not None:
                _keep_access(path, descriptor, before)
            stream.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def _keep_access(path: Path, descriptor: int, before: os.stat_result) -> None:
    # Owner, group and mode stay: a gateway of another user may read the file by its group.
    try:
        os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
    except OSError as exc:
        msg = f"`{path}` was not changed: its owner and group cannot be kept: {exc.strerror}"
        hint = "run this as the file's owner, in its group, or as root"
        raise ConfigurationError(msg, hint=hint) from exc


def _records(text: bytes) -> tuple[KeyRecord, ...]:
    document = orjson.loads(text)
    records = tuple(_record(item) for item in document["keys"])
    if document["format"] != _FORMAT or len({record.name for record in records}) != len(records):
        raise ValueError
    return records


def _record(item: dict[str, Any]) -> KeyRecord:
    scopes = tuple(item["scopes"])
    sha256 = item["sha256"]
    is_sound = (
        isinstance(item["name"], str)
        and scopes
        and all(scope in SCOPES for scope in scopes)
        and len(sha256) == _SHA256_HEX_LENGTH
        and bytes.fromhex(sha256)
    )
    if not is_sound:
        raise ValueError
    expires = item.get("expires")
    return KeyRecord(
        name=item["name"],
        scopes=scopes,
        sha256=sha256.lower(),
        created=str(item["created"]),
        expires_us=None if expires is None else datetime_to_us(datetime.fromisoformat(expires)),
    )


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", name):
        msg = f"not a name of a key: {name!r}"
        raise ConfigurationError(msg, hint="ASCII letters, digits and dashes, like `checkout`")
