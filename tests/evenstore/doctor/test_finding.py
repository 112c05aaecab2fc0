from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import evenstore.doctor.finding
from evenstore.doctor.examination import Examination
from evenstore.doctor.finding import CHECKS, Finding, Severity, exit_code, fine, worst_severity
from evenstore.doctor.forecast import ViewForecast
from evenstore.doctor.report import render_json, render_text

_FINE = fine("redis-version", "Redis 7.0.15")
_INFO = Finding("view-ttl", Severity.INFO, "stats: no ttl", "served for ever", "declare it")
_WARNING = Finding("redis-maxmemory", Severity.WARNING, "not set", "killed", "set it")
_ERROR = Finding("redis-eviction", Severity.ERROR, "allkeys-lru", "rows vanish", "noeviction")


@pytest.mark.parametrize(
    ("findings", "worst", "code", "strict_code"),
    [
        ((), "ok", 0, 0),
        ((_FINE,), "ok", 0, 0),
        ((_INFO, _FINE), "info", 0, 0),
        ((_WARNING, _INFO), "warning", 0, 1),
        ((_FINE, _ERROR, _WARNING), "error", 1, 1),
    ],
)
def test_worst_finding_decides_the_exit_code(
    findings: tuple[Finding, ...], worst: str, code: int, strict_code: int
) -> None:
    assert worst_severity(findings).value == worst
    assert exit_code(findings) == code
    assert exit_code(findings, is_strict=True) == strict_code


def test_text_ends_with_the_gravest_and_tells_what_to_do() -> None:
    text = render_text(Examination((_ERROR, _FINE, _WARNING, _INFO)))
    lines = text.splitlines()
    assert lines[0].split() == ["ok", "redis-version", "Redis", "7.0.15"]
    order = [line.split()[0] for line in lines if line.startswith(("info", "warning", "error"))]
    assert order == ["info", "warning", "error"]
    assert lines[-4:-1] == ["  consequence: rows vanish", "  remedy: noeviction", ""]
    assert lines[-1] == "1 error and 1 warning in 4 findings"


def test_findings_alike_share_a_line_but_every_forecast_has_one() -> None:
    views = [fine("view-schema", f"view_{i}") for i in range(5)]
    forecasts = [fine("memory-forecast", f"view_{i}: 1 kB") for i in range(5)]
    lines = render_text(Examination((*views, *forecasts))).splitlines()
    assert [line for line in lines if "view-schema" in line] == [
        f"ok       {'view-schema':26} view_0; view_1; view_2; and 2 more"
    ]
    assert len([line for line in lines if "memory-forecast" in line]) == 5


def test_json_has_all_findings_with_all_fields() -> None:
    forecast = ViewForecast("stats", 10, 300, is_loaded=True)
    report = json.loads(render_json(Examination((_FINE, _ERROR), (forecast,), 5_000)))
    assert report["verdict"] == "error"
    assert report["headroom_bytes"] == 5_000
    assert report["findings"][0]["severity"] == "ok"
    assert report["findings"][1] == {
        "check": "redis-eviction",
        "severity": "error",
        "what": "allkeys-lru",
        "consequence": "rows vanish",
        "remedy": "noeviction",
    }
    assert report["forecasts"] == [
        {
            "view": "stats",
            "n_entities": 10,
            "bytes_per_entity": 300,
            "is_loaded": True,
            "n_bytes": 3_000,
        }
    ]


def test_every_check_is_listed_and_every_listed_one_is_made() -> None:
    folder = Path(evenstore.doctor.finding.__file__).parent
    made = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                first = node.args[0] if node.args else None
                is_made = node.func.id in {"Finding", "fine", "_cannot"}
                if is_made and isinstance(first, ast.Constant):
                    made.add(first.value)
    assert made == set(CHECKS)
