from __future__ import annotations

import os
from pathlib import Path

import pytest

from evenstore.errors import ConfigurationError
from evenstore.whole_file import whole_file


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.txt"
    for text in ("one", "two"):
        with whole_file(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
    assert [item.name for item in path.parent.iterdir()] == ["x.txt"]


def _write_and_fail(path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("two")
        raise OSError(5, "planted")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("one")
    with pytest.raises(ConfigurationError, match="planted"):
        _write_and_fail(path)
    assert path.read_text() == "one"
    assert [item.name for item in tmp_path.iterdir()] == ["x.txt"]


def test_what_is_no_plain_file_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for target in (pipe, tmp_path):
        with pytest.raises(ConfigurationError, match="not a plain file"), whole_file(target):
            pass
    assert pipe.is_fifo()
