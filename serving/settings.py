"""What a gateway is started with: the supervisor's settings, and those it hands to each worker."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from evenstore.errors import ConfigurationError

__all__ = ["READY_LINE", "GatewaySettings", "Limits", "WorkerSettings"]

READY_LINE = b"ready\n"
"""What a worker writes to its standard output, once, when it accepts requests."""

_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for; more is refused before any work is done.

    Attributes:
        max_body_bytes: Size of the request body.
        max_entity_rows: Entity rows in one request.
        max_features: Features in one list of references; a service may have more.
        max_values: Entity rows times features: what an answer costs to render, which holds up every
            other request of the worker meanwhile.
    """

    max_body_bytes: int = 4 * 1024 * 1024
    max_entity_rows: int = 10_000
    max_features: int = 1_000
    max_values: int = 500_000


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the supervisor tells a worker, over a pipe: the Redis url may hold a password.

    Attributes:
        name: For the log, such as `worker 1`.
        listen_fd: The inherited listening socket.
        schema_path: The compiled schema's document, replaced atomically on every change.
        redis_url: As `evenstore.online.connection` takes it.
        redis_timeout_s: Longest wait for a free connection and for Redis.
        max_redis_connections: Bound of the worker's pool.
        schema_poll_s: How often the document is looked at.
        drain_s: How long requests under way may take after the signal to stop.
        limits: What one request may ask for.
    """

    name: str
    listen_fd: int
    schema_path: str
    redis_url: str
    redis_timeout_s: float
    max_redis_connections: int
    schema_poll_s: float
    drain_s: int
    limits: Limits

    def to_json(self) -> str:
        """Render as one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> WorkerSettings:
        """Read one line back.

        Raises:
            ConfigurationError: The line is not what `to_json` writes.
        """
        try:
            data = json.loads(line)
            return cls(**{**data, "limits": Limits(**data["limits"])})
        except (ValueError, TypeError, KeyError) as exc:
            msg = "a worker got no settings on its standard input"
            raise ConfigurationError(
                msg, hint="workers are started by the supervisor: run `evenstore-serve`"
            ) from exc


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What `evenstore-serve` was asked to do.

    Attributes:
        repo_path: Folder of the Feast repo, with its `feature_store.yaml`.
        home: Private folder for the compiled schema.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        n_workers: Worker processes.
        registry_poll_s: How often the registry is looked at.
        redis_timeout_s: As in `WorkerSettings`.
        max_redis_connections: Bound of each worker's pool.
        drain_s: As in `WorkerSettings`.
        owner_pid: Stop when that process ends, however it ends; None to go on.
        limits: What one request may ask for.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    repo_path: Path
    home: Path
    host: str = "127.0.0.1"
    port: int = 6566
    n_workers: int = 1
    registry_poll_s: float = 2.0
    redis_timeout_s: float = 1.0
    max_redis_connections: int = 64
    drain_s: int = 10
    owner_pid: int | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _MAX_PORT:
            msg = f"not a port: {self.port}"
            raise ConfigurationError(msg, hint="choose 1 to 65535, or 0 for a free one")
        positive = {
            "workers": self.n_workers,
            "registry-poll-s": self.registry_poll_s,
            "redis-timeout-s": self.redis_timeout_s,
            "max-redis-connections": self.max_redis_connections,
            "drain-s": self.drain_s,
            **{
                field.name.replace("_", "-"): getattr(self.limits, field.name)
                for field in dataclasses.fields(self.limits)
            },
        }
        for name, number in positive.items():
            if not number > 0:
                msg = f"--{name} is {number}"
                raise ConfigurationError(msg, hint="give a number above 0")
