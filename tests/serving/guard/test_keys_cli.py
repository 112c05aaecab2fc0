from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenstore.clock import SystemClock
from serving.cli import main
from serving.guard.api_keys import ApiKeys


def test_a_key_is_printed_once_listed_without_it_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ["--file", str(tmp_path / "keys.json")]
    assert main(["keys", "create", *file, "--name", "checkout", "--scope", "read"]) == 0
    key = capsys.readouterr().out.strip()
    assert ApiKeys(tmp_path / "keys.json", SystemClock()).authorize(key.encode(), "read")

    assert main(["keys", "list", *file]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith("checkout  read  created 2")
    assert "expires never" in listed
    assert key not in listed

    assert main(["keys", "revoke", *file, "--name", "checkout"]) == 0
    assert main(["keys", "list", *file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_json_carries_the_key_of_a_creation_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--file", str(tmp_path / "keys.json"), "--json"]
    scopes = ["--scope", "write", "--scope", "read"]
    assert main(["keys", "create", *options, "--name", "etl", *scopes, "--days", "30"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["scopes"] == ["read", "write"]
    assert made["expires"] > made["created"]
    key = made.pop("key")
    assert main(["keys", "list", *options]) == 0
    assert json.loads(capsys.readouterr().out) == [made]
    assert main(["keys", "revoke", *options, "--name", "etl"]) == 0
    assert key not in capsys.readouterr().out


def test_errors_exit_1_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list", "--file", str(tmp_path / "gone.json")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hint: make the file" in captured.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["create", "--name", "a"],
        ["create", "--name", "a", "--scope", "all"],
        ["create", "--name", "a", "--scope", "read", "--days", "0"],
        ["create", "--name", "a", "--scope", "read", "--days", "nan"],
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, words: list[str]) -> None:
    file = ["--file", str(tmp_path / "keys.json")] if words else []
    with pytest.raises(SystemExit) as ended:
        main(["keys", *words, *file])
    assert ended.value.code == 2
