"""What the supervisor tells the writer process."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from evenstore.errors import ConfigurationError
from serving.settings import LogFormat

__all__ = ["WriterSettings"]


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """Settings of the writer process, over a pipe.

    Attributes:
        listen_fd: The inherited listening Unix socket.
        repo_path: Folder of the Feast repo.
        registry_poll_s: How old what is known of a registry that is no file may be.
        max_body_bytes: Size of a request.
        max_rows: Rows of a request.
        drain_s: How long rows under way may take after the end was asked for.
        log_format: Form of the log's lines.
        max_waiting: Requests that wait for a thread; more are refused.
        n_threads: Pushes and writes at a time.
    """

    listen_fd: int
    repo_path: str
    registry_poll_s: float
    max_body_bytes: int
    max_rows: int
    drain_s: float
    log_format: LogFormat = "json"
    max_waiting: int = 256
    n_threads: int = 4

    def to_json(self) -> str:
        """Render as one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> WriterSettings:
        """Read one line back.

        Raises:
            ConfigurationError: The line is not what `to_json` writes.
        """
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError) as exc:
            msg = "the writer got no settings on its standard input"
            raise ConfigurationError(
                msg, hint="it is started by the supervisor: run `evenstore-serve`"
            ) from exc
