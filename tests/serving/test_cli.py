from __future__ import annotations

from pathlib import Path

import pytest

from serving.cli import main
from serving.settings import Limits


def test_help_teaches_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "evenstore-serve --repo feature_repo" in text
    assert str(Limits().max_body_bytes) in text


@pytest.mark.parametrize("argv", [[], ["--repo"], ["--repo", "x", "--port", "many"], ["--no"]])
def test_wrong_usage_exits_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2


def test_wrong_settings_exit_1_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--repo", str(tmp_path), "--workers", "0"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: --workers is 0\n\nhint: give a number above 0\n"


def test_frozen_time_outside_test_mode_exits_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", "2011-12-10T00:00:00+00:00")
    assert main(["--repo", str(tmp_path)]) == 1
    assert "outside test mode" in capsys.readouterr().err
