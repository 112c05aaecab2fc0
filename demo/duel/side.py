"""One side of the duel: a Feast repo of its own on the same definitions, files and Redis server.

Everything it does is a command that a user would type.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from demo.commands import CommandError, child_environment, script_path

__all__ = ["EVENSTORE", "STOCK", "Running", "Side", "finish_all", "make_side"]

STOCK = "stock Feast"
EVENSTORE = "evenstore"

_VIOLATED = 3
_DEFINITIONS = "shop_definitions.py"


@dataclass(frozen=True, slots=True)
class Running:
    """A command under way.

    Attributes:
        process: The child.
        line: What was typed.
        accepted: Exit codes that are no failure.
        log: Gets what it prints.
    """

    process: subprocess.Popen[bytes]
    line: tuple[str, ...]
    accepted: tuple[int, ...]
    log: Path

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            CommandError: It failed.
        """
        exit_code = self.process.wait()
        if exit_code not in self.accepted:
            tail = "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-15:])
            msg = f"`{' '.join(self.line)}` ended with exit code {exit_code}\n\n{tail}"
            raise CommandError(msg, exit_code=1, hint="`--keep DIR` keeps everything to look at")


def finish_all(commands: Sequence[Running]) -> None:
    """Wait for several commands; when one fails, stop the others."""
    try:
        for command in commands:
            command.finish()
    finally:
        for command in commands:
            if command.process.poll() is None:
                command.process.kill()
                command.process.wait()


@dataclass(frozen=True, slots=True)
class Side:
    """One side.

    Attributes:
        name: `STOCK` or `EVENSTORE`.
        repo: Its Feast repo.
        features: The feature tables, which both sides share.
        home: For logs and reports.
    """

    name: str
    repo: Path
    features: Path
    home: Path

    @property
    def registry(self) -> Path:
        """The registry's file."""
        return self.repo / "registry.db"

    def feast(self, now: datetime, *arguments: str) -> Running:
        """Start a command of Feast's own."""
        return self._start(now, "feast", "-c", str(self.repo), *arguments)

    def audit(
        self,
        now: datetime,
        *,
        service: str,
        entity_rows: Path,
        models: Sequence[tuple[Path, float]],
        report: Path,
    ) -> Running:
        """Start an audit; rows that no finished run could know are left out of the truth.

        Args:
            now: The instant of the week.
            service: The feature service to compare.
            entity_rows: What to ask for.
            models: Their folders, each with the score from which its decision is yes.
            report: The JSON file to write.
        """
        options = [
            word
            for model, threshold in models
            for word in ("--model", str(model), "--threshold", str(threshold))
        ]
        return self._start(
            now,
            "evenstore-parity",
            "audit",
            *("--repo", str(self.repo), "--feature-service", service),
            *("--as-of", now.isoformat(), "--materialized-only"),
            *("--entities", str(entity_rows), "--batch-rows", "500"),
            *(*options, "--trust-models", "--json", str(report)),
            accepted=(0, _VIOLATED),
        )

    def environment(self, now: datetime) -> Mapping[str, str]:
        """Return what its commands see: the tables, and a clock that stands still."""
        return child_environment(
            EVENSTORE_HOME=str(self.home),
            EVENSTORE_FEATURES=str(self.features),
            EVENSTORE_TEST_MODE="1",
            EVENSTORE_FROZEN_TIME=now.isoformat(),
        )

    def edit_definitions(self, old: str, new: str) -> None:
        """Replace a part of the definitions.

        Raises:
            CommandError: They have no such part.
        """
        path = self.repo / _DEFINITIONS
        text = path.read_text(encoding="utf-8")
        if old not in text:
            msg = f"{path} has no line {old!r}"
            raise CommandError(msg, exit_code=1, hint="the shop's definitions have changed")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def _start(
        self, now: datetime, name: str, *arguments: str, accepted: tuple[int, ...] = (0,)
    ) -> Running:
        log = self.home / f"{self.repo.name}.log"
        line = (name, *arguments)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own scripts, no shell.
                [str(script_path(name)), *arguments],
                cwd=self.repo,
                env=dict(self.environment(now)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return Running(process, line, accepted, log)


def make_side(name: str, *, home: Path, definitions: Path, redis_url: str, features: Path) -> Side:
    """Copy the shop's definitions and give them one side's stores.

    Args:
        name: `STOCK` or `EVENSTORE`.
        home: Everything that the duel makes.
        definitions: The clone's feature repo.
        redis_url: The Redis server of both sides.
        features: The feature tables of both sides.
    """
    settings = _stock_settings(redis_url) if name == STOCK else _our_settings(redis_url)
    repo = home / str(settings["project"])
    shutil.copytree(definitions, repo)
    # JSON is YAML.
    (repo / "feature_store.yaml").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return Side(name, repo, features, home)


def _stock_settings(redis_url: str) -> dict[str, Any]:
    """Feast's defaults, with its Redis."""
    return {
        "project": "stock",
        "provider": "local",
        "registry": "registry.db",
        "offline_store": {"type": "file"},
        "online_store": {"type": "redis", "connection_string": _stock_connection(redis_url)},
        "entity_key_serialization_version": 3,
    }


def _our_settings(redis_url: str) -> dict[str, Any]:
    """The clone's own profile."""
    return {
        "project": "ours",
        "provider": "local",
        "registry": {"path": "registry.db", "serve_features_while_materializing": True},
        "offline_store": {"type": "evenstore.offline.store.DuckDBOfflineStore"},
        "online_store": {
            "type": "evenstore.online.store.RedisOnlineStore",
            "connection_string": redis_url,
        },
        "batch_engine": {"type": "evenstore.compute.engine.DuckDBComputeEngine"},
        "entity_key_serialization_version": 3,
    }


def _stock_connection(redis_url: str) -> str:
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return f"localhost:0,unix_socket_path={unquote(parts.path)}"
    return f"{parts.hostname}:{parts.port}"
