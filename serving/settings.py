"""What a gateway is started with: the supervisor's settings, and those it hands to each worker."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from evenstore.errors import ConfigurationError

__all__ = [
    "READY_LINE",
    "AccessLog",
    "Compat",
    "GatewaySettings",
    "Limits",
    "LogFormat",
    "WorkerSettings",
]

Compat = Literal["evenstore", "strict"]
"""Whose answers `POST /get-online-features` gives; `strict` is stock Feast's shape and codes."""

LogFormat = Literal["json", "plain"]
AccessLog = Literal["off", "sampled", "full"]

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
        max_head_bytes: Size of the request line and headers.
        max_receive_s: Longest time in which a whole request must have come, headers and body.
    """

    max_body_bytes: int = 4 * 1024 * 1024
    max_entity_rows: int = 10_000
    max_features: int = 1_000
    max_values: int = 500_000
    max_head_bytes: int = 64 * 1024
    max_receive_s: float = 10.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the supervisor tells a worker, over a pipe: the Redis url may hold a password.

    Attributes:
        name: For the log, such as `worker 1`.
        listen_fd: The inherited listening socket.
        schema_path: The compiled schema's document, replaced atomically on every change.
        redis_url: As `evenstore.online.connection` takes it.
        redis_timeout_s: Longest wait for a free connection and for Redis.
        schema_poll_s: How often the document is looked at.
        drain_s: How long requests under way may take after the signal to stop.
        limits: What one request may ask for.
        writes: Whether the routes that write are served.
        writer_socket: Path of the writer process's Unix socket; None when nothing is written.
        writer_timeout_s: Longest wait for the writer process.
        api_keys_path: File of API keys; None leaves every route open.
        metrics_need_key: Whether `GET /metrics` needs a key with the scope `admin`.
        compat: As in `GatewaySettings`.
        max_in_flight: Requests under way in this worker; more are refused.
        test_mode: Whether a request may name its own `as_of`.
        log_format: Form of the log's lines.
        access_log: Which requests get a line of their own.
        metrics_folder: Folder of the snapshots by which `/metrics` of one worker tells of all.
        status_path: File in which the supervisor says how it is.
    """

    name: str
    listen_fd: int
    schema_path: str
    redis_url: str
    redis_timeout_s: float
    schema_poll_s: float
    drain_s: int
    limits: Limits
    writes: bool = True
    writer_socket: str | None = None
    writer_timeout_s: float = 30.0
    materialize_timeout_s: float = 3600.0
    api_keys_path: str | None = None
    metrics_need_key: bool = False
    compat: Compat = "evenstore"
    max_in_flight: int = 1024
    test_mode: bool = False
    log_format: LogFormat = "json"
    access_log: AccessLog = "off"
    metrics_folder: str | None = None
    status_path: str | None = None

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
        drain_s: As in `WorkerSettings`.
        owner_pid: Stop when that process ends, however it ends; None to go on.
        limits: What one request may ask for.
        writes: Whether push, write and materialize are served.
        lazy_writer: Whether the process that writes is started by the first write.
        writer_timeout_s: As in `WorkerSettings`.
        materialize_timeout_s: As in `WorkerSettings`.
        api_keys_path: File of API keys; None checks none, which only a loopback address allows.
        insecure_no_keys: Go without keys on any address: something in front checks callers.
        metrics_need_key: Ask for a key at `GET /metrics` on a loopback address, too.
        compat: Whose shape, order and error codes answers in Feast's form have.
        max_in_flight: As in `WorkerSettings`.
        test_mode: As in `WorkerSettings`.
        log_format: As in `WorkerSettings`.
        access_log: As in `WorkerSettings`.

    Raises:
        ConfigurationError: A number is out of its range, a word is not known, or a public address
            would be served without API keys.
    """

    repo_path: Path
    home: Path
    host: str = "127.0.0.1"
    port: int = 6566
    n_workers: int = 1
    registry_poll_s: float = 2.0
    redis_timeout_s: float = 1.0
    drain_s: int = 10
    owner_pid: int | None = None
    limits: Limits = Limits()
    writes: bool = True
    lazy_writer: bool = False
    writer_timeout_s: float = 30.0
    materialize_timeout_s: float = 3600.0
    api_keys_path: str | None = None
    insecure_no_keys: bool = False
    metrics_need_key: bool = False
    compat: Compat = "evenstore"
    max_in_flight: int = 1024
    test_mode: bool = False
    log_format: LogFormat = "json"
    access_log: AccessLog = "off"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _MAX_PORT:
            msg = f"not a port: {self.port}"
            raise ConfigurationError(msg, hint="choose 1 to 65535, or 0 for a free one")
        self._check_numbers()
        self._check_words()
        if self.api_keys_path is None and not self.insecure_no_keys and not self.is_loopback:
            msg = f"no API keys, and `{self.host}` can be reached from other machines"
            raise ConfigurationError(
                msg,
                hint="make a file with `evenstore-serve keys create` and name it by `--api-keys`; "
                "`--insecure-no-keys` is for a gateway behind something that checks callers",
            )

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach the gateway, by its address alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            # A name that is not an address may lead anywhere.
            return False

    def for_worker(
        self,
        name: str,
        *,
        listen_fd: int,
        schema_path: str,
        redis_url: str,
        schema_poll_s: float,
        writer_socket: str | None = None,
        metrics_folder: str | None = None,
        status_path: str | None = None,
    ) -> WorkerSettings:
        """Make the settings of one worker: these, and what only the supervisor knows."""
        own = {field.name for field in dataclasses.fields(self)}
        shared: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(WorkerSettings)
            if field.name in own
        }
        # Decided by the address that is listened on, never by a caller's: behind a proxy on this
        # machine every caller comes from a loopback address.
        shared["metrics_need_key"] = self.api_keys_path is not None and (
            self.metrics_need_key or not self.is_loopback
        )
        return WorkerSettings(
            **shared,
            name=name,
            listen_fd=listen_fd,
            schema_path=schema_path,
            redis_url=redis_url,
            schema_poll_s=schema_poll_s,
            writer_socket=writer_socket,
            metrics_folder=metrics_folder,
            status_path=status_path,
        )

    def _check_numbers(self) -> None:
        positive = {
            "workers": self.n_workers,
            "registry-poll-s": self.registry_poll_s,
            "redis-timeout-s": self.redis_timeout_s,
            "drain-s": self.drain_s,
            "writer-timeout-s": self.writer_timeout_s,
            "materialize-timeout-s": self.materialize_timeout_s,
            "max-in-flight": self.max_in_flight,
            **{
                field.name.replace("_", "-"): getattr(self.limits, field.name)
                for field in dataclasses.fields(self.limits)
            },
        }
        for name, number in positive.items():
            if not number > 0:
                msg = f"--{name} is {number}"
                raise ConfigurationError(msg, hint="give a number above 0")

    def _check_words(self) -> None:
        for name, word, words in (
            ("compat", self.compat, get_args(Compat)),
            ("log-format", self.log_format, get_args(LogFormat)),
            ("access-log", self.access_log, get_args(AccessLog)),
        ):
            if word not in words:
                msg = f"--{name} is {word!r}"
                raise ConfigurationError(msg, hint=f"one of: {', '.join(words)}")
