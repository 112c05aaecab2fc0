"""Instants of options are read in one way, and a wrong one is refused with what is wrong."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from parity.argument_types import instant_us
from parity.audit import command as audit
from parity.causes import cell
from parity.golden_set import command as golden_build

_WORDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], list[str]]] = {
    "audit": (audit.add_arguments, ["--repo", "r"]),
    "cell": (cell.add_arguments, ["--repo", "r", "--view", "v"]),
    "golden build": (
        golden_build.add_arguments,
        ["--repo", "r", "--feature-service", "s", "--out", "o"],
    ),
}


def test_instant_is_read_to_the_microsecond_in_any_zone() -> None:
    assert instant_us("1970-01-01T00:00:00.000001Z") == 1
    assert instant_us("1970-01-01T02:00:00+02:00") == 0


@pytest.mark.parametrize("name", _WORDS)
@pytest.mark.parametrize(
    ("text", "problem"),
    [("2011-12-09T12:50:00", "has no time zone: append Z"), ("soon", "is no instant such as")],
)
def test_every_command_says_what_is_wrong_with_an_instant(
    name: str, text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add_arguments, words = _WORDS[name]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([*words, "--as-of", text])
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err
    assert parser.parse_args([*words, "--as-of", "1970-01-01T00:00:01Z"]).as_of in (
        1_000_000,
        [1_000_000],
    )
