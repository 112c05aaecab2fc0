"""Numbers that other parts of a worker keep themselves, read when a snapshot is taken."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from evenstore.clock import Clock
from serving.schema_status import read_schema_status
from serving.telemetry.metrics import Sample

__all__ = [
    "admission_source",
    "api_key_source",
    "link_source",
    "process_source",
    "receiving_source",
    "schema_source",
]

_US_PER_S = 1_000_000
_BYTES_PER_KIB = 1024
_STATM = Path("/proc/self/statm")

Source = Callable[[], Iterable[Sample]]


class _Admission(Protocol):
    in_flight: int
    n_shed: int


class _ApiKeys(Protocol):
    n_not_authenticated: int
    n_denied: int


class _Link(Protocol):
    @property
    def is_open(self) -> bool: ...
    @property
    def n_pending(self) -> int: ...
    @property
    def n_reconnects(self) -> int: ...
    @property
    def n_timeouts(self) -> int: ...


class _Receiving(Protocol):
    n_too_slow: int
    n_too_large: int


def admission_source(admission: _Admission) -> Source:
    """Tell of a `serving.guard.admission.Admission`."""
    return lambda: (
        ("in_flight_requests", (), admission.in_flight),
        ("shed_requests_total", (), admission.n_shed),
    )


def api_key_source(keys: _ApiKeys) -> Source:
    """Tell of a `serving.guard.api_keys.ApiKeys`."""
    return lambda: (
        ("api_key_failures_total", ("not-authenticated",), keys.n_not_authenticated),
        ("api_key_failures_total", ("access-denied",), keys.n_denied),
    )


def link_source(link: _Link) -> Source:
    """Tell of a `serving.link.link.RedisLink`."""
    return lambda: (
        ("redis_circuit_open", (), link.is_open),
        ("redis_pending_requests", (), link.n_pending),
        ("redis_reconnects_total", (), link.n_reconnects),
        ("redis_timeouts_total", (), link.n_timeouts),
    )


def receiving_source(receiving: _Receiving) -> Source:
    """Tell of a `serving.guard.receiving.Receiving`."""
    return lambda: (
        ("cut_off_requests_total", ("too-slow",), receiving.n_too_slow),
        ("cut_off_requests_total", ("too-large",), receiving.n_too_large),
    )


def schema_source(
    schema: Callable[[], tuple[str, str]],
    *,
    schema_path: Path,
    status_path: Path | None = None,
) -> Source:
    """Tell of the schema that is served.

    Args:
        schema: Gives the project's name and the schema's fingerprint.
        schema_path: The compiled schema's document; its time is the schema's.
        status_path: Where the supervisor says whether the registry can be used.
    """

    def read() -> Iterable[Sample]:
        yield "schema_info", schema(), 1
        # Gone for a moment, or for good: what is loaded still holds.
        with suppress(OSError):
            yield "schema_timestamp_seconds", (), schema_path.stat().st_mtime
        status = None if status_path is None else read_schema_status(status_path)
        if status is not None:
            yield "registry_usable", (), status.schema_source == "registry"

    return read


def process_source(clock: Clock) -> Source:
    """Tell of this process. Made when it starts.

    Args:
        clock: The machine's, also where answers have a frozen one.
    """
    started_s = clock.now_us() / _US_PER_S
    return lambda: (
        ("start_timestamp_seconds", (), started_s),
        ("resident_memory_bytes", (), _resident_bytes()),
    )


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        # macOS has no /proc and counts bytes; what it has is the most that was ever held.
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * _BYTES_PER_KIB
