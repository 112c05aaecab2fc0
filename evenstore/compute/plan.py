"""Decides which rows a run must load, from the watermark and the files that are there.

No I/O, no Feast.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evenstore.compute.watermark import FileVersion, Watermark
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import EARLIEST_US, oldest_valid_us

__all__ = [
    "FileFacts",
    "LateRowPolicy",
    "LateRows",
    "PlannedFiles",
    "RunPlan",
    "changed_files",
    "plan_run",
]

Range = tuple[int, int]


class LateRows(enum.Enum):
    """How late rows are found in a file that was rewritten; a new file is always read whole."""

    FILES = "files"
    CREATED = "created"
    LOOK_BACK = "look_back"


@dataclass(frozen=True, slots=True)
class LateRowPolicy:
    """What a repository says of its rewritten files.

    Attributes:
        kind: FILES reads them whole again, and sees everything.
        commit_lag_us: CREATED: longest time from a row's created timestamp to when it can be read.
        look_back_us: LOOK_BACK: how much later than its event timestamp a row may arrive.
    """

    kind: LateRows = LateRows.FILES
    commit_lag_us: int = 0
    look_back_us: int = 0


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a source file without reading its rows.

    Attributes:
        version: Size and modification time.
        event_us: Earliest and latest event timestamp, None where the statistics do not say.
        created_us: Earliest and latest created timestamp, None where there is none or they do not
            say.
    """

    version: FileVersion
    event_us: Range | None = None
    created_us: Range | None = None


@dataclass(frozen=True, slots=True)
class PlannedFiles:
    """Some files, and which of their rows are read.

    Attributes:
        paths: The files.
        since_us: Earliest event timestamp, inclusive.
        created_after_us: Rows created later are read even where their event is earlier; None for
            none.
        is_unread: Whether the last run had not read them in this version.
    """

    paths: tuple[str, ...]
    since_us: int
    created_after_us: int | None = None
    is_unread: bool = True


_REPAIR_US = 0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run loads, and why.

    Attributes:
        parts: The files with something to load.
        until_us: Latest event timestamp, inclusive.
        reason: Why these rows.
        blind_spot: Which late rows this run cannot see; empty where it sees all.
        since_us: From here on every row of the files is loaded when the run ends.
    """

    parts: tuple[PlannedFiles, ...]
    until_us: int
    reason: str
    blind_spot: str = ""
    since_us: int = EARLIEST_US


def changed_files(watermark: Watermark | None, files: Mapping[str, FileVersion]) -> tuple[str, ...]:
    """Return the files that the last run had not read, or not in this version."""
    known: Mapping[str, FileVersion] = {} if watermark is None else watermark.files
    return tuple(path for path, version in files.items() if known.get(path) != version)


def plan_run(
    view: FeatureViewSchema,
    watermark: Watermark | None,
    files: Mapping[str, FileFacts],
    *,
    fingerprint: str,
    start_us: int,
    end_us: int,
    policy: LateRowPolicy,
) -> RunPlan:
    """Plan a run that was asked for an interval.

    The interval's start is a wish: neither Feast's clock nor its record of runs knows what is in
    Redis. Without a watermark for this schema the newest row within ttl of the end is loaded; where
    expired values are shown, or nothing expires, of any age. With one: of files read before, what
    is after it or before the earliest start so far; of unread files, what the first run would load.
    An interval from 1970 on, as of `--disable-event-timestamp`, reads everything again.

    A row of an unread file can tie with one that is loaded, which content decides within a
    snapshot: a file read before is read again, from the earliest late row on, where its statistics
    do not rule out a tie.

    Args:
        view: The view.
        watermark: What Redis holds, None for nothing.
        files: The source's files.
        fingerprint: Of what decides the stored bytes (`load_fingerprint`).
        start_us: Start asked for, inclusive.
        end_us: End asked for, inclusive, not after now.
        policy: How late rows of rewritten files are found.
    """
    from_scratch_us = min(start_us, _oldest_shown_us(view, end_us))
    if watermark is None or watermark.fingerprint != fingerprint:
        reason = "nothing loaded yet" if watermark is None else "the definition changed"
        parts = _worth_reading([PlannedFiles(tuple(files), from_scratch_us)], files, end_us)
        return RunPlan(parts, end_us, reason, since_us=from_scratch_us)
    since_us = _unloaded_since_us(watermark, start_us)
    changed = changed_files(watermark, {path: file.version for path, file in files.items()})
    new = tuple(path for path in changed if path not in watermark.files)
    rewritten = tuple(path for path in changed if path in watermark.files)
    again, blind_spot = _plan_rewritten(
        rewritten, watermark, policy, since_us=since_us, from_scratch_us=from_scratch_us
    )
    unread = [PlannedFiles(new, from_scratch_us), again]
    late = _LateRows.of(unread, files, min(watermark.event_end_us, end_us))
    read = [path for path in files if path not in set(changed)]
    tied = {path for path in read if late and late.can_tie(files[path])}
    tied_since_us = since_us if late is None else min(since_us, late.event_us[0])
    planned = [
        *unread,
        PlannedFiles(tuple(p for p in read if p in tied), tied_since_us, is_unread=False),
        PlannedFiles(tuple(p for p in read if p not in tied), since_us, is_unread=False),
    ]
    return RunPlan(
        _worth_reading(planned, files, end_us),
        end_us,
        "since the last run" if late is None else "files with late rows",
        blind_spot,
        _loaded_since_us(watermark, since_us, from_scratch_us if changed else None),
    )


def _unloaded_since_us(watermark: Watermark, start_us: int) -> int:
    if start_us > _REPAIR_US and watermark.covers(start_us):
        return watermark.event_end_us + 1
    return min(start_us, watermark.event_end_us + 1)


def _loaded_since_us(watermark: Watermark, since_us: int, changed_since_us: int | None) -> int:
    """Return from where on all files are loaded: those read before, and those that changed."""
    read_since_us = since_us
    if watermark.event_start_us is not None:
        read_since_us = min(since_us, watermark.event_start_us)
    return read_since_us if changed_since_us is None else max(read_since_us, changed_since_us)


def _plan_rewritten(
    paths: tuple[str, ...],
    watermark: Watermark,
    policy: LateRowPolicy,
    *,
    since_us: int,
    from_scratch_us: int,
) -> tuple[PlannedFiles, str]:
    if not paths or policy.kind is LateRows.FILES:
        return PlannedFiles(paths, from_scratch_us), ""
    if policy.kind is LateRows.LOOK_BACK:
        look_back_us = policy.look_back_us
        since_us = max(min(since_us, watermark.event_end_us + 1 - look_back_us), from_scratch_us)
        blind_spot = f"rows that came more than {_seconds(look_back_us)} late into a rewritten file"
        return PlannedFiles(paths, since_us), blind_spot
    if watermark.created_end_us is None:
        return PlannedFiles(paths, from_scratch_us), ""
    created_after_us = watermark.created_end_us - policy.commit_lag_us
    blind_spot = "late rows of a rewritten file without a later created timestamp"
    if policy.commit_lag_us:
        blind_spot += f", or readable more than {_seconds(policy.commit_lag_us)} after it"
    return PlannedFiles(paths, since_us, created_after_us), blind_spot


@dataclass(frozen=True, slots=True)
class _LateRows:
    """Between which instants rows of unread files are that the last run's interval covers."""

    event_us: Range
    created_us: Range | None

    @classmethod
    def of(
        cls, parts: Sequence[PlannedFiles], files: Mapping[str, FileFacts], end_us: int
    ) -> _LateRows | None:
        events: list[Range] = []
        createds: list[Range | None] = []
        for part in parts:
            since_us = EARLIEST_US if part.created_after_us is not None else part.since_us
            for path in part.paths:
                first_us, last_us = files[path].event_us or (since_us, end_us)
                first_us, last_us = max(first_us, since_us), min(last_us, end_us)
                if first_us <= last_us:
                    events.append((first_us, last_us))
                    createds.append(files[path].created_us)
        return cls(_hull(events), _known_hull(createds)) if events else None

    def can_tie(self, file: FileFacts) -> bool:
        """Tell whether a file can hold a row with both timestamps of a late one."""
        return _overlap(self.event_us, file.event_us) and _overlap(self.created_us, file.created_us)


def _worth_reading(
    parts: Iterable[PlannedFiles], files: Mapping[str, FileFacts], end_us: int
) -> tuple[PlannedFiles, ...]:
    """Leave out files whose statistics rule out every row that is asked for."""
    kept = []
    for part in parts:
        since_us = EARLIEST_US if part.created_after_us is not None else part.since_us
        paths = tuple(
            path
            for path in part.paths
            if since_us <= end_us and _overlap((since_us, end_us), files[path].event_us)
        )
        if paths:
            kept.append(
                PlannedFiles(paths, part.since_us, part.created_after_us, is_unread=part.is_unread)
            )
    return tuple(kept)


def _overlap(one: Range | None, other: Range | None) -> bool:
    if one is None or other is None:
        return True
    return one[0] <= other[1] and other[0] <= one[1]


def _hull(ranges: Sequence[Range]) -> Range:
    return min(first for first, _ in ranges), max(last for _, last in ranges)


def _known_hull(ranges: Sequence[Range | None]) -> Range | None:
    known = [found for found in ranges if found is not None]
    return _hull(known) if known and len(known) == len(ranges) else None


def _seconds(duration_us: int) -> str:
    return f"{duration_us / 1_000_000:g} s"


def _oldest_shown_us(view: FeatureViewSchema, end_us: int) -> int:
    if not view.withholds_expired:
        return EARLIEST_US
    return oldest_valid_us(as_of_us=end_us, ttl_us=view.enforced_ttl_us)
