"""A versioned SQL file that turns raw events into one feature table, and its header.

The header is the block of comments that opens the file, one `-- key: value` a line:

```text
-- name: customer_activity                  the feature table; also the name of its folder
-- version: 1                               counted up by hand when the meaning changes
-- description: What a customer bought.     one sentence
-- join keys: customer_id                   comma-separated
-- source: shop_lines by InvoiceDate        a relation the SQL reads, and its event time; repeatable
-- window end: day                          the grain that windows end on: day or hour
-- look back: 90 days                       how far before a window's day events count, or forever
-- publication delay: 2 hours               from a window's end to when its rows may be used
```

The SQL is one SELECT over the named relations with the parameters `$first_day` and `$last_day`
(dates, both inclusive). Its columns are the join keys, `window_end` (a timestamp without zone, read
as UTC, exclusive) and the features. Event timestamps are not its business: the runner makes them,
so that no file can stamp a row at the instant of the events in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenstore.errors import TransformError
from evenstore.transform.window import US_PER_DAY, WindowGrain

__all__ = ["EventSource", "FeatureSql", "load_feature_sql"]

_HEADER_LINE = re.compile(r"--\s*([a-z][a-z ]*[a-z])\s*:\s*(\S.*?)\s*$")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SOURCE = re.compile(r"([a-z][a-z0-9_]*) by (\S.*)")
_DURATION = re.compile(r"(\d+) (minute|hour|day)s?")
_UNIT_US = {"minute": 60_000_000, "hour": 3_600_000_000, "day": US_PER_DAY}
_KEYS = (
    "name",
    "version",
    "description",
    "join keys",
    "source",
    "window end",
    "look back",
    "publication delay",
)


@dataclass(frozen=True, slots=True)
class EventSource:
    """A relation of raw events that the SQL reads, and the column that says when they happened."""

    name: str
    time_column: str


@dataclass(frozen=True, slots=True)
class FeatureSql:
    """One feature table as its SQL file defines it.

    Attributes:
        name: The feature table.
        version: As the header states it.
        description: One sentence.
        text: The whole file.
        fingerprint: Hash of the text; it changes with every edit, comments included, because a
            comment may be the only trace of a decision.
        join_keys: In the order of the header.
        sources: The relations that the SQL may read.
        grain: What windows end on.
        look_back_days: Whole days before a window's day whose events can matter; None means all.
        delay_us: From the exclusive end of a window to its rows' event timestamp, microseconds.
    """

    name: str
    version: int
    description: str
    text: str
    fingerprint: str
    join_keys: tuple[str, ...]
    sources: tuple[EventSource, ...]
    grain: WindowGrain
    look_back_days: int | None
    delay_us: int


def load_feature_sql(path: Path) -> FeatureSql:
    """Read a SQL file and its header; nothing is run.

    Raises:
        TransformError: The file cannot be read, or a header line is missing, unknown, repeated or
            not in its form; the message names the file and the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"cannot read the feature SQL `{path}`: {exc}"
        raise TransformError(msg, hint="name an existing UTF-8 .sql file") from exc
    # Line endings are not meaning: a checkout with CRLF has the same fingerprint.
    text = text.replace("\r\n", "\n")
    return _HeaderReader(path, _read_header(path, text)).build(text)


def _read_header(path: Path, text: str) -> dict[str, list[str]]:
    header: dict[str, list[str]] = {}
    for line_number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("--"):
            break
        match = _HEADER_LINE.match(line)
        if match is None or match[1] not in _KEYS:
            msg = f"{path}:{line_number}: not a header line: {line!r}"
            raise TransformError(
                msg,
                hint="write `-- key: value` with one of "
                + ", ".join(f"`{key}`" for key in _KEYS)
                + "; leave a blank line before other comments",
            )
        header.setdefault(match[1], []).append(match[2])
    return header


class _HeaderReader:
    """Reads the values of one header; exists to name file and key in every error."""

    def __init__(self, path: Path, header: Mapping[str, list[str]]) -> None:
        self._path = path
        self._header = header

    def build(self, text: str) -> FeatureSql:
        return FeatureSql(
            name=self._matched("name", _NAME)[0],
            version=int(self._matched("version", re.compile(r"[1-9]\d*"))[0]),
            description=self._one("description"),
            text=text,
            fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
            join_keys=tuple(key.strip() for key in self._one("join keys").split(",")),
            sources=tuple(self._source(value) for value in self._all("source")),
            grain=self._grain(),
            look_back_days=self._look_back_days(),
            delay_us=self._duration_us("publication delay"),
        )

    def _fail(self, key: str, problem: str, hint: str) -> TransformError:
        return TransformError(f"{self._path}: header `{key}` {problem}", hint=hint)

    def _invalid(self, value: str, *, key: str, hint: str) -> TransformError:
        return self._fail(key, f"is {value!r}", hint)

    def _all(self, key: str) -> list[str]:
        values = self._header.get(key)
        if not values:
            raise self._fail(key, "is missing", f"add a line `-- {key}: ...` at the top")
        return values

    def _one(self, key: str) -> str:
        values = self._all(key)
        if len(values) > 1:
            raise self._fail(key, f"is given {len(values)} times", "keep one line")
        return values[0]

    def _matched(self, key: str, pattern: re.Pattern[str]) -> re.Match[str]:
        value = self._one(key)
        match = pattern.fullmatch(value)
        if match is None:
            raise self._invalid(value, key=key, hint=f"it must match `{pattern.pattern}`")
        return match

    def _source(self, value: str) -> EventSource:
        match = _SOURCE.fullmatch(value)
        if match is None:
            hint = "for example `-- source: shop_lines by InvoiceDate`"
            raise self._invalid(value, key="source", hint=hint)
        return EventSource(match[1], match[2])

    def _grain(self) -> WindowGrain:
        value = self._one("window end")
        try:
            return WindowGrain(value)
        except ValueError as exc:
            hint = "use day or hour"
            raise self._invalid(value, key="window end", hint=hint) from exc

    def _duration_us(self, key: str) -> int:
        match = self._matched(key, _DURATION)
        return int(match[1]) * _UNIT_US[match[2]]

    def _look_back_days(self) -> int | None:
        if self._one("look back") == "forever":
            return None
        # Rounded up: events are taken by whole days.
        return -(-self._duration_us("look back") // US_PER_DAY)
