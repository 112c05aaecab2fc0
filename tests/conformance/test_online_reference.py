"""docs/reference/feast-items.md against the tests: every item has one that exists and names it."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from tests.repo.sources import ROOT

_PAGE = ROOT / "docs" / "reference" / "feast-items.md"
_CELLS = re.compile(r"^\| ([\d.]+|D\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
_ROWS = _CELLS.findall(_PAGE.read_text(encoding="utf-8"))
_NAMING = tuple(
    f"conformance/test_online_{name}.py" for name in ("items", "writes", "materialization")
)
_NOT_ONLINE = {"D21", "D33"}


@functools.cache
def _docstrings(file: str) -> dict[str, str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {function.name: ast.get_docstring(function) or "" for function in functions}


def _items(docstring: str) -> set[str]:
    """Return the items of `FEAST.md 0.3, D2: whatever else`."""
    said = re.split("[:;]", docstring.partition("\n")[0])[0]
    return set(re.findall(r"\bD\d+\b|(?<![\d.])\d\.\d+\b", said))


def test_every_item_is_on_the_page() -> None:
    sections = {f"0.{i}" for i in range(1, 12)} | {f"1.{i}" for i in range(1, 8)}
    sections |= {f"4.{i}" for i in range(1, 6)} | {f"D{i}" for i in range(1, 41)}
    assert {item for item, *_ in _ROWS} == sections - _NOT_ONLINE


def test_tests_of_every_item_exist_and_name_it() -> None:
    for item, _, _, tests in _ROWS:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert len(named) == tests.count("`") // 2 > 0, f"{item}: {tests}"
        for file, test in named:
            assert test in _docstrings(file), f"{item}: {file}::{test}"
            if file in _NAMING:
                assert item in _items(_docstrings(file)[test]), f"{test} does not name {item}"


@pytest.mark.parametrize("file", _NAMING)
def test_items_that_tests_name_are_on_the_page(file: str) -> None:
    listed = {
        (item, test) for item, *_, tests in _ROWS for test in re.findall(rf"{file}::(\w+)", tests)
    }
    cases = {name: text for name, text in _docstrings(file).items() if name.startswith("test_")}
    named = {(item, test) for test, text in cases.items() for item in _items(text)}
    assert named <= listed, named - listed
    assert all(_items(text) for text in cases.values())
