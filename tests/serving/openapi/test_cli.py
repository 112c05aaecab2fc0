from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving.openapi.cli import main
from serving.openapi.document import build_document, render_document


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_document()


def save(path: Path, document: dict[str, Any], *, without: str | None = None) -> Path:
    changed = json.loads(render_document(document))
    changed["paths"].pop(without, None)
    path.write_text(render_document(changed))
    return path


def test_document_is_printed_with_sorted_keys(
    document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == document
    assert printed == json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def test_a_document_breaks_nobody_that_knows_it(tmp_path: Path, document: dict[str, Any]) -> None:
    assert main(["check", "--against", str(save(tmp_path / "a.json", document))]) == 0
    fewer = save(tmp_path / "b.json", document, without="/get-online-features")
    assert main(["check", "--against", str(fewer)]) == 0


def test_breaking_change_is_exit_code_3_and_a_line_each(
    tmp_path: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    more = json.loads(render_document(document))
    more["paths"]["/gone"] = {"get": {}, "post": {}}
    path = save(tmp_path / "more.json", more)
    assert main(["check", "--against", str(path)]) == 3
    assert capsys.readouterr().out.splitlines() == [
        "GET /gone: the route is gone [removed-route]",
        "POST /gone: the route is gone [removed-route]",
    ]


def test_write_refuses_what_breaks_callers_until_allowed(
    tmp_path: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    more = json.loads(render_document(document))
    more["paths"]["/gone"] = {"get": {}}
    path = save(tmp_path / "openapi.json", more)
    before = path.read_text()
    assert main(["write", str(path)]) == 3
    assert path.read_text() == before
    assert "--allow-breaking" in capsys.readouterr().err
    assert main(["write", str(path), "--allow-breaking"]) == 0
    assert path.read_text() == render_document(document)
    new = tmp_path / "new.json"
    assert main(["write", str(new)]) == 0
    assert new.read_text() == render_document(document)


def test_other_document_comes_from_standard_input(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(render_document(document)))
    assert main(["check", "--against", "-"]) == 0


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "no JSON"])
def test_what_is_no_document_is_told(
    tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    assert main(["check", "--against", str(path)]) == 1
    assert "hint:" in capsys.readouterr().err


@pytest.mark.slow
def test_module_runs_and_knows_neither_feast_nor_pandas() -> None:
    script = (
        "import sys; from serving.openapi.cli import main; main([]); "
        "print([n for n in ('feast', 'pandas', 'duckdb') if n in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "[]"
    assert json.loads(ran.stdout)["openapi"].startswith("3.")
