"""Follows docs/guides/adopt.md: its files, commands and Python, and compares what they print."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evenstore.online.store import RedisOnlineStoreConfig
from tests.e2e.console_blocks import assert_prints, parse_console
from tests.repo.sources import ROOT
from tests.support.feast_command import STRANGER_WARNINGS, feast
from tests.support.redis_on_tcp import redis_on_tcp

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.redis,
    pytest.mark.slow,
    *map(pytest.mark.filterwarnings, STRANGER_WARNINGS),
]

_GUIDE = ROOT / "docs" / "guides" / "adopt.md"
_SETTINGS = "feature_store.yaml"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "redis").mkdir()
    with redis_on_tcp(tmp_path / "redis") as found:
        yield found


class _Reader:
    """Who does what the page says, step by step, in one Python session and one folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._names: dict[str, Any] = {}

    def follow(self, kind: str, body: str, shown: str | None) -> None:
        """Take one block of the page, and the output that it shows for it."""
        body = body.replace("localhost:6379", f"localhost:{self._port}")
        if kind == "yaml":
            (self._folder / _SETTINGS).write_text(body, encoding="utf-8")
        elif kind == "diff":
            apply = ["git", "apply", "-"]
            subprocess.run(apply, cwd=self._folder, input=body, text=True, check=True)
        elif kind == "console":
            for line, expected in parse_console(body).commands:
                assert_prints(self._run(line), expected, any_number=True)
        else:
            printed = self._execute(body)
            assert printed == (shown or "")

    def _run(self, command: str) -> str:
        instant = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        name, *words = shlex.split(re.sub(r"\$\(date [^)]*\)", instant, command))
        if name == "cd":
            self._folder /= words[0]
            return ""
        assert name == "feast", command
        return feast(self._folder, " ".join(words))

    def _execute(self, code: str) -> str:
        printed = io.StringIO()
        with contextlib.chdir(self._folder), contextlib.redirect_stdout(printed):
            exec(compile(code, _GUIDE.name, "exec"), self._names)  # noqa: S102 - The guide's own.
        return printed.getvalue()


def test_the_guide_does_what_it_says(tmp_path: Path, port: int) -> None:
    text = _GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"```(console|diff|python|yaml|text)\n(.*?)```", text, flags=re.DOTALL)
    assert [kind for kind, _ in blocks].count("diff") == 3
    reader = _Reader(tmp_path, port)
    for number, (kind, body) in enumerate(blocks):
        if kind != "text":
            after = blocks[number + 1 : number + 2]
            shown = after[0][1] if after and after[0][0] == "text" else None
            reader.follow(kind, body, shown)
    assert (tmp_path / "drivers/feature_repo" / _SETTINGS).read_text(encoding="utf-8") == next(
        body for kind, body in blocks if kind == "yaml"
    ).replace("6379", str(port))


def test_the_guide_names_what_the_stock_store_can_be_told() -> None:
    """A setting of stock's that ours lacks would be refused, so the page must say so."""
    from feast.infra.online_stores.redis import RedisOnlineStoreConfig as StockConfig

    lost = set(StockConfig.model_fields) - set(RedisOnlineStoreConfig.model_fields)
    text = _GUIDE.read_text(encoding="utf-8")
    assert not [name for name in lost if f"`{name}`" not in text]
