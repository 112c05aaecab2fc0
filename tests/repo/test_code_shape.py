from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo.sources import PACKAGES, ROOT, python_files

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_SUPPRESSIONS_PER_1000_LINES = 1.5

SOURCE_FILES = python_files(*PACKAGES)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_one_room(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what is decided in it"
    too_long = {
        function.name: length
        for function in _functions(tree)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert not too_long


@pytest.mark.parametrize("path", SOURCE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sub_package_init_is_empty_so_that_importing_a_part_loads_no_more(path: Path) -> None:
    if path.name == "__init__.py":
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert all(isinstance(node, ast.Expr) for node in body)


def test_suppressions_are_few_and_carry_their_code() -> None:
    n_lines = n_suppressions = 0
    for path in SOURCE_FILES:
        for line in path.read_text(encoding="utf-8").splitlines():
            n_lines += 1
            if re.search(r"#\s*(noqa|type:\s*ignore)", line):
                n_suppressions += 1
                assert re.search(r"noqa: [A-Z]+\d+|type: ignore\[[\w-]+\]", line), (path, line)
    assert n_suppressions / n_lines * 1000 <= MAX_SUPPRESSIONS_PER_1000_LINES


def test_every_public_module_states_what_it_exports() -> None:
    missing = [
        str(path.relative_to(ROOT))
        for path in SOURCE_FILES
        if path.name not in {"__init__.py", "__main__.py"}
        and "__all__ = [" not in path.read_text(encoding="utf-8")
    ]
    assert not missing
