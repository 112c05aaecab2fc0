"""How far a view is materialized, kept in Redis beside its rows: both must live and die together.

After a FLUSH, an eviction or a failover that lost writes the watermark is gone with the rows, and
the next run loads all again. One Redis hash per project, one field per view, JSON. A watermark is
written only after the rows it speaks of; two runs of one view at the same time (a lock keeps them
apart, `evenstore.compute.lock`, but only for economy) can only set it back, which costs a second
reading and loses nothing. A store that is emptied during a run would keep a watermark without the
rows written before: so a run marks the store when it begins, and moves the watermark only where its
mark still is.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import redis

from evenstore.errors import CorruptRowError, OnlineStoreError
from evenstore.online.connection import Command, execute
from evenstore.online.loads import loads_key, view_mark
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Layout, fingerprint

__all__ = [
    "FileVersion",
    "Watermark",
    "delete_all_watermarks",
    "load_fingerprint",
    "mark_store",
    "parse_watermark",
    "read_watermark",
    "read_watermark_command",
    "server_run",
    "write_watermark",
]

_VERSION = 1
_MARK = b":mark"  # No feature view's name holds a colon.
_WRITE_IF_MARKED = b"""
local marks = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[2])
if (marks[1] or '') .. '/' .. (marks[2] or '') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[4], ARGV[5])
return 1
"""

FileVersion = tuple[int, int]
"""Size in bytes and modification time in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """What the last run of a view had loaded when it ended.

    Attributes:
        event_end_us: Every row of the files read with an event timestamp up to here is in Redis.
        files: The source files read, by absolute path.
        fingerprint: The view's schema then; with another one all is loaded again.
        sequence_us: The ingest sequence of the last run.
        created_end_us: The greatest created timestamp of the files read, None where they do not
            say.
        event_start_us: The earliest event timestamp asked for so far, None where it is not known.
    """

    event_end_us: int
    files: Mapping[str, FileVersion]
    fingerprint: str
    sequence_us: int
    created_end_us: int | None = None
    event_start_us: int | None = None

    def covers(self, start_us: int) -> bool:
        """Tell whether an interval from an instant on holds nothing that was not asked for yet."""
        return self.event_start_us is not None and self.event_start_us <= start_us


def load_fingerprint(view: FeatureViewSchema, source: SourceFiles, layout: Layout) -> str:
    """Hash what decides which bytes a run stores: another one and everything is loaded again.

    That is the view, which source columns it is read from, and how rows lie in Redis.
    """
    return fingerprint((view, source.event, source.created, source.columns, layout.value))


def read_watermark(client: redis.Redis, project: str, view_name: str) -> Watermark | None:
    """Read a view's watermark; None when nothing is known to be in Redis.

    A watermark of another format version counts as none: loading all again is always right.

    Raises:
        CorruptRowError: The stored text is no watermark.
    """
    (text,) = execute(client, [read_watermark_command(project, view_name)])
    return parse_watermark(text, project, view_name)


def read_watermark_command(project: str, view_name: str) -> Command:
    """Return the command that reads a view's watermark, for `parse_watermark`."""
    return (b"HGET", loads_key(project), view_name.encode())


def parse_watermark(text: object, project: str, view_name: str) -> Watermark | None:
    """Read the reply of `read_watermark_command`.

    Raises:
        CorruptRowError: The stored text is no watermark.
    """
    if text is None:
        return None
    try:
        data = json.loads(str(text, "utf-8") if isinstance(text, bytes) else str(text))
        if data["version"] != _VERSION:
            return None
        created_end_us = data.get("created_end_us")
        event_start_us = data.get("event_start_us")
        return Watermark(
            event_end_us=int(data["event_end_us"]),
            files={path: (int(size), int(mtime)) for path, (size, mtime) in data["files"].items()},
            fingerprint=str(data["fingerprint"]),
            sequence_us=int(data["sequence_us"]),
            created_end_us=None if created_end_us is None else int(created_end_us),
            event_start_us=None if event_start_us is None else int(event_start_us),
        )
    except (ValueError, KeyError, TypeError) as exc:
        msg = f"{view_name}: the stored watermark cannot be read"
        command = f"HDEL {loads_key(project).decode()} {view_name}"
        hint = f"delete it (`redis-cli {command}`), and the next run loads everything"
        raise CorruptRowError(msg, hint=hint) from exc


def mark_store(client: redis.Redis, project: str, view_name: str) -> bytes:
    """Return the store's mark and the view's, as one: another one tells that rows were removed.

    The store's is made when it has none, the view's counts the removals of its rows.
    """
    made = uuid.uuid4().hex.encode()
    key = loads_key(project)
    _, kept = execute(
        client,
        [(b"HSETNX", key, _MARK, made), (b"HMGET", key, _MARK, view_mark(view_name))],
    )
    store, view = kept if isinstance(kept, list) else (made, None)
    return b"%b/%b" % (store or made, view or b"")


def server_run(client: redis.Redis) -> bytes:
    """Return what tells this start of the server from a later one.

    A server that crashed during a run may have lost rows of it and kept the mark.
    """
    (answer,) = execute(client, [(b"INFO", b"server")])
    lines = answer if isinstance(answer, dict) else _info_lines(answer)
    return str(lines.get("run_id", "")).encode()


def write_watermark(
    client: redis.Redis, project: str, view_name: str, watermark: Watermark, *, mark: bytes
) -> None:
    """Store a view's watermark; call it only when the rows are in Redis.

    Args:
        client: Redis.
        project: The Feast project.
        view_name: The view.
        watermark: What is in Redis now.
        mark: The marks (`mark_store`) from before the first row was written.

    Raises:
        OnlineStoreError: The store was emptied, or rows of the view were removed meanwhile; nothing
            is stored.
    """
    text = json.dumps(
        {
            "version": _VERSION,
            "event_end_us": watermark.event_end_us,
            "files": dict(watermark.files),
            "fingerprint": watermark.fingerprint,
            "sequence_us": watermark.sequence_us,
            "created_end_us": watermark.created_end_us,
            "event_start_us": watermark.event_start_us,
        },
        separators=(",", ":"),
    )
    marks = (_MARK, view_mark(view_name), mark)
    arguments = (loads_key(project), *marks, view_name.encode(), text.encode())
    (is_written,) = execute(client, [(b"EVAL", _WRITE_IF_MARKED, 1, *arguments)])
    if not is_written:
        msg = "rows of the view were removed while others were written"
        raise OnlineStoreError(msg, hint="run again: everything is loaded then")


def delete_all_watermarks(client: redis.Redis, project: str) -> None:
    """Forget a whole project: its watermarks and the store's mark."""
    execute(client, [(b"UNLINK", loads_key(project))])


def _info_lines(answer: object) -> dict[str, str]:
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
