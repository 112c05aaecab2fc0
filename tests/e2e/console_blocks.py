"""Console blocks of a page: their commands, and a comparison with what the commands print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Block", "assert_prints", "parse_console"]

# What differs from run to run, on any data.
_VOLATILE = (
    (re.compile(r" +[\d.,]+ s\b"), " # s"),
    (re.compile(r"[\d.,]+ ms\b"), "# ms"),
    (re.compile(r"unix://\S+"), "unix://#"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:#"),
    (re.compile(r" {2,}"), " "),
)
_NUMBER = re.compile(r"\d[\d,.:-]*")
_HERE_DOCUMENT = re.compile(r"<<'(\w+)'$")


@dataclass(frozen=True)
class Block:
    """A console block: commands, each with the lines it prints; `...` stands for any lines."""

    commands: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def name(self) -> str:
        return self.commands[0][0]


def parse_console(body: str) -> Block:
    """Read a block's text: a command begins with `$ ` and may go on over several lines."""
    commands: list[tuple[str, tuple[str, ...]]] = []
    lines = iter(body.splitlines())
    for line in lines:
        if line.startswith("$ "):
            commands.append((_rest_of_command(line.removeprefix("$ "), lines), ()))
        else:
            command, printed = commands[-1]
            commands[-1] = command, (*printed, line)
    return Block(tuple(commands))


def assert_prints(printed: str, expected: tuple[str, ...], *, any_number: bool) -> None:
    """Compare what was printed with what a page shows, but for times, addresses and spaces.

    Args:
        printed: By the command.
        expected: The page's lines; `...` skips any lines.
        any_number: Whether numbers may differ too, as those of generated data do.
    """
    printed_lines = printed.rstrip().splitlines()
    lines = [_normalise(line, any_number=any_number).strip() for line in printed_lines]
    at, may_skip = 0, False
    for wanted in expected:
        if wanted == "...":
            may_skip = True
            continue
        line = _normalise(wanted, any_number=any_number).strip()
        if may_skip:
            assert line in lines[at:], f"never printed: {wanted}\n{printed}"
            at = lines.index(line, at)
        assert at < len(lines), f"never printed: {wanted}\n{printed}"
        assert lines[at] == line, f"printed {lines[at]!r}, the page says {wanted!r}"
        at, may_skip = at + 1, False
    assert may_skip or at == len(lines), f"the page leaves out {lines[at:]}"


def _rest_of_command(command: str, lines: Iterator[str]) -> str:
    here_document = _HERE_DOCUMENT.search(command)
    while command.endswith("\\") or here_document:
        line = next(lines)
        command += f"\n{line}"
        if here_document and line == here_document[1]:
            break
    return command


def _normalise(line: str, *, any_number: bool) -> str:
    for pattern, replacement in _VOLATILE:
        line = pattern.sub(replacement, line)
    # Generated data end today, so counts and dates move with the day.
    return _NUMBER.sub("#", line) if any_number else line
