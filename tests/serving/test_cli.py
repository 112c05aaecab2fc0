from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.cli import _parser, _settings, main
from serving.settings import GatewaySettings, Limits
from tests.serving.loggers import loggers_as_before


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    with loggers_as_before():
        yield


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


def test_a_public_address_without_keys_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--repo", str(tmp_path), "--host", "192.0.2.1"]) == 1
    captured = capsys.readouterr()
    assert "error: no API keys, and `192.0.2.1` can be reached from other machines" in captured.err
    assert "--api-keys" in captured.err


def test_a_file_of_keys_that_cannot_be_used_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--repo", str(tmp_path), "--api-keys", str(tmp_path / "gone.json")]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: the API keys cannot be read" in captured.err
    assert "hint: make the file with `evenstore-serve keys create`" in captured.err


def test_flags_have_the_defaults_of_the_settings(tmp_path: Path) -> None:
    arguments = _parser().parse_args(["--repo", str(tmp_path)])
    settings = _settings(arguments)
    assert settings == GatewaySettings(repo_path=tmp_path.resolve(), home=settings.home)


def test_every_flag_reaches_the_settings(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    words = (
        "--no-writes --insecure-no-keys --metrics-need-key --compat strict --test-mode "
        "--log-format plain --access-log sampled --max-in-flight 2 --writer-timeout-s 3 "
        "--lazy-writer --materialize-timeout-s 6 "
        f"--max-receive-s 4 --max-head-bytes 5 --host 192.0.2.1 --api-keys {keys}"
    )
    settings = _settings(_parser().parse_args(["--repo", str(tmp_path), *words.split()]))
    assert settings == GatewaySettings(
        repo_path=tmp_path.resolve(),
        home=settings.home,
        host="192.0.2.1",
        writes=False,
        insecure_no_keys=True,
        metrics_need_key=True,
        compat="strict",
        test_mode=True,
        log_format="plain",
        access_log="sampled",
        max_in_flight=2,
        lazy_writer=True,
        writer_timeout_s=3,
        materialize_timeout_s=6,
        api_keys_path=str(keys),
        limits=Limits(max_receive_s=4, max_head_bytes=5),
    )
