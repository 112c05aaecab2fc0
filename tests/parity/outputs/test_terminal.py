from __future__ import annotations

import io

import pytest
from rich.console import Console

from evenstore.dtypes import Dtype
from parity.outputs.terminal import prefers_tables, print_report, print_tables
from parity.text import format_report
from tests.parity.outputs.test_document_schema import full_report
from tests.parity.reports import compare_values, make_report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_pipe_gets_plain_lines() -> None:
    stream = io.StringIO()
    print_report(full_report(), stream)
    assert stream.getvalue().splitlines() == list(format_report(full_report()))


def test_terminal_gets_tables_with_the_same_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    print_report(full_report(), stream)
    shown = stream.getvalue()
    assert "\x1b[" in shown
    assert "late-arrival" in shown
    assert list(format_report(full_report()))[-1] in shown
    monkeypatch.setenv("TERM", "dumb")
    assert not prefers_tables(stream)


def test_tables_show_brackets_as_they_are_and_say_what_violates() -> None:
    compared = compare_values("code", Dtype.STRING, ["[red]x[/red]"], ["[/]"])
    stream = io.StringIO()
    print_tables(make_report(compared), Console(file=stream, width=200))
    shown = stream.getvalue()
    assert '"[red]x[/red]"' in shown
    assert "violated: 1 of 1 values differ" in shown
    assert "activity: loaded up to 2011-12-09T00:00:00Z, 1d ago" in shown
