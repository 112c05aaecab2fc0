"""Judges the code that it is imported beside: golden as users run it, and the tests' oracle.

It runs as a process of its own in a copy of the source tree, so that whatever it imports, and its
gateway with it, is the copy's:

    python -m tests.mutants.judge REPO GOLDEN OUT
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from evenstore.semantics import Status
from parity.cli import main as parity_main
from tests.mutants.rows import VIEWS
from tests.support.oracle import Answer, look_up

__all__ = ["compare_with_oracle", "main"]

_EXIT_VIOLATED = 3
_BASKET = "compare_basket"
# An on-demand output takes the worst status of its inputs and of its own value.
_WORST_LAST = (Status.PRESENT, Status.NULL_VALUE, Status.OUTSIDE_MAX_AGE, Status.NOT_FOUND)


def main(argv: Sequence[str]) -> int:
    """Write the verdict on the code that is imported, as JSON.

    First the oracle's, so that it is there where golden ends with a traceback.
    """
    repo, golden, out = (Path(word) for word in argv)
    verdict = _judge_by_oracle(repo, golden)
    out.write_text(json.dumps(verdict), encoding="utf-8")
    verdict |= _judge_by_golden(repo, golden)
    out.write_text(json.dumps(verdict), encoding="utf-8")
    return 0


def _judge_by_oracle(repo: Path, golden: Path) -> dict[str, object]:
    # Broken code raises what it likes, which a future keeps.
    with ThreadPoolExecutor(1) as executor:
        judged = executor.submit(compare_with_oracle, repo, golden)
    exc = judged.exception()
    if exc is None:
        return {"n_oracle": judged.result()}
    return {"oracle_stopped": " ".join(traceback.format_exception_only(exc)[-1].split())}


def _judge_by_golden(repo: Path, golden: Path) -> dict[str, object]:
    """Run golden by its command and count what it reports."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = ["golden", "run", "--repo", str(repo), "--golden", str(golden)]
        said = StringIO()
        with redirect_stderr(said), redirect_stdout(StringIO()):
            code = parity_main([*words, "--json", str(report)])
        if not report.is_file():
            _, _, told = said.getvalue().rpartition("error: ")
            return {"golden_stopped": " ".join(told.split()) or f"exit code {code}"}
        document = json.loads(report.read_text(encoding="utf-8"))
    sides = [found["side"] for found in document["sections"]["golden"]["frozen"]["differences"]]
    counts = {
        "n_live": document["total"]["n_differing"],
        "n_frozen_offline": sides.count("offline"),
        "n_frozen_online": sides.count("online"),
    }
    if (code == _EXIT_VIOLATED) is any(counts.values()):
        return {**counts}
    # Red without a value that differs, or green with one.
    return {**counts, "golden_stopped": f"exit code {code}: {'; '.join(document['violations'])}"}


def compare_with_oracle(repo: Path, golden_path: Path) -> int:
    """Join a golden set as it was known, and count the values that the oracle would not give."""
    from evenstore.schema.compile import compile_store
    from evenstore.schema.repository import open_repository
    from evenstore.schema.request import resolve_service
    from parity.golden_set.as_known import read_as_known
    from parity.golden_set.golden_file import read_golden_file

    golden = read_golden_file(golden_path)
    store = open_repository(repo)
    request = resolve_service(compile_store(store), golden.feature_service)
    cells = read_as_known(store, request, golden.columns, golden.as_of_us)
    joined = {
        (column.view_name, column.field.name): column_cells
        for column, column_cells in zip(request.columns, cells, strict=True)
    }
    n_differing = 0
    expected = _expect(golden.columns, golden.as_of_us)
    for place, cell in expected:
        view_name, feature, row_idx = place
        found = joined[view_name, feature].cell(row_idx)
        if not _is_same((found.value, found.status, found.event_us), cell):
            n_differing += 1
    return n_differing


def _expect(
    columns: Mapping[str, Sequence[Any]], as_of_us: Sequence[int]
) -> Iterator[tuple[tuple[str, str, int], tuple[Any, ...]]]:
    """Let the oracle answer for every entity row: place, and value, status, event timestamp."""
    for view_name, view in VIEWS.items():
        rows, rules = view.of_oracle(), view.rules
        names = sorted(rows[0].values)
        for row_idx, at_us in enumerate(as_of_us):
            key = tuple(columns[name][row_idx] for name in view.keys)
            answer = look_up(rows, key, at_us, names, rules)
            for name in names:
                cell = (_frozen(answer.values[name]), answer.statuses[name], answer.event_us)
                yield (view_name, name, row_idx), cell
            if view_name == "activity":
                amount = columns["amount"][row_idx]
                for name, cell in _expect_basket(answer, amount):
                    yield (_BASKET, name, row_idx), cell


def _expect_basket(answer: Answer, amount: float | None) -> Iterator[tuple[str, tuple[Any, ...]]]:
    spend = answer.values["spend"]
    outputs: dict[str, float | bool | None] = {"above_usual": None, "is_dearer": None}
    if spend is not None and amount is not None:
        is_dearer = None if spend > 1 else amount > spend
        outputs = {"above_usual": amount - spend, "is_dearer": is_dearer}
    for name, value in outputs.items():
        own = Status.NULL_VALUE if value is None else Status.PRESENT
        status = max((answer.statuses["spend"], own), key=_WORST_LAST.index)
        yield name, (value, status, None)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and bool(one == other)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
