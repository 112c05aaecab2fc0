"""What a run of all mutants found, as the document that is kept and the page that shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.mutant import Mutant
from tests.mutants.verdict import Catcher, Verdict

__all__ = ["Judged", "format_page", "format_summary", "load_result", "save_result"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Judged:
    """A mutant and what was seen of it."""

    mutant: Mutant
    verdict: Verdict

    @property
    def is_as_expected(self) -> bool:
        """Tell whether those saw it who were expected to, and golden stopped where it should."""
        has_stopped = self.verdict.golden_stopped is not None
        return has_stopped is self.mutant.stops and (
            has_stopped or self.verdict.caught_by == self.mutant.expected
        )


def save_result(judged: Sequence[Judged], path: Path, *, beside: Path | None = None) -> None:
    """Write the verdicts as JSON.

    Args:
        judged: The verdicts.
        path: The file.
        beside: A file of earlier verdicts, which are kept for mutants that are not judged now.
    """
    verdicts: dict[str, Any] = {}
    if beside is not None and beside.is_file():
        verdicts |= json.loads(beside.read_text(encoding="utf-8"))["verdicts"]
    verdicts |= {each.mutant.name: each.verdict.to_json() for each in judged}
    document = {"version": _VERSION, "verdicts": dict(sorted(verdicts.items()))}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load_result(path: Path, mutants: Sequence[Mutant]) -> list[Judged]:
    """Read verdicts back, in the order of the mutants.

    Raises:
        KeyError: A mutant has none.
    """
    verdicts: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["verdicts"]
    return [Judged(mutant, Verdict.from_json(verdicts[mutant.name])) for mutant in mutants]


def format_summary(judged: Sequence[Judged]) -> list[str]:
    """Say in a few lines how many mutants were seen, and by whom."""
    verdicts = [each.verdict for each in judged]
    compared = [verdict for verdict in verdicts if verdict.golden_stopped is None]
    n_red = sum(verdict.is_golden_red for verdict in verdicts)
    caught = [verdict.caught_by for verdict in compared]
    n_frozen_alone = sum(Catcher.FROZEN in by and Catcher.LIVE not in by for by in caught)
    return [
        f"{len(judged)} mutants, golden red at {n_red}",
        f"stopped with an error: {len(verdicts) - len(compared)}",
        *(
            f"seen by the {catcher.value}: {sum(catcher in by for by in caught)}"
            for catcher in Catcher
        ),
        f"seen by the {Catcher.FROZEN.value} and not by the {Catcher.LIVE.value}: {n_frozen_alone}",
        f"not seen by golden: {len(judged) - n_red}",
    ]


def format_page(judged: Sequence[Judged]) -> str:
    """Render the whole page."""
    return "\n".join([*_page(judged), ""])


def _page(judged: Sequence[Judged]) -> Iterator[str]:
    yield "# What golden sees of broken code"
    yield ""
    yield from _INTRODUCTION
    yield ""
    yield from (f"* {line}" for line in format_summary(judged))
    yield ""
    yield "| mutant | file | what is wrong | live | frozen offline | frozen online | oracle |"
    yield "|---|---|---|---|---|---|---|"
    for each in judged:
        mutant = each.mutant
        cells = " | ".join(_cells(each.verdict))
        yield f"| {mutant.name} | `{mutant.file}` | {_escaped(mutant.breaks)} | {cells} |"
    missed = [each.mutant for each in judged if not each.verdict.is_golden_red]
    if missed:
        yield ""
        yield "## What golden does not see"
        yield ""
        yield from (f"* **{mutant.name}**: {mutant.why}." for mutant in missed)


_INTRODUCTION = """\
A check that was never seen red proves nothing. Each mutant below is a fault of ours on purpose: one
edit of one file, in a copy of the source tree, as `make mutants` makes it. `evenstore-parity golden
run` then plays one golden set, whose values were frozen by code without a fault, with the broken
code on both sides: its own join, its own materialization, its own gateway.

The numbers are values that differ: between both stores (live), of each store from the frozen
values, and of the join from the tests' oracle in plain Python. A fault that both stores share gives
the same wrong value twice: there the frozen values and the oracle are all that there is.

This page is made by `python -m tests.mutants page` from `mutants.json`, which a test compares with
a new run.""".splitlines()


def _cells(verdict: Verdict) -> list[str]:
    oracle = "stopped" if verdict.oracle_stopped else _count(verdict.n_oracle)
    if verdict.golden_stopped is not None:
        return [*["stopped"] * 3, oracle]
    counts = (verdict.n_live, verdict.n_frozen_offline, verdict.n_frozen_online)
    return [*map(_count, counts), oracle]


def _count(n_differing: int) -> str:
    return f"{n_differing:,}" if n_differing else "-"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
