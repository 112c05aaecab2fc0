"""Runs the Python of docs/guides/lookup.md against a gateway that serves what it names."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.serving.processes import Running

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "lookup.md"
ADDRESS = "http://127.0.0.1:6566"

pytestmark = [
    pytest.mark.redis,
    pytest.mark.e2e,
    pytest.mark.slow,
]


def test_the_guide_does_what_it_says(gateway: Running, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, Any] = {}
    printed = []
    for block in blocks:
        code = compile(block.replace(ADDRESS, gateway.url), GUIDE.name, "exec")
        exec(code, names)  # noqa: S102 - The guide's own code.
        printed.append(capsys.readouterr().out.splitlines())
    nothing = {"orders_30d": None, "spend_30d": None, "country": None}
    vectors, columns, pushed, served, refused, concurrent = printed
    assert vectors[:2] == [f"{{'customer_id': 17850}} {nothing}", "   not known yet"]
    assert vectors[4] == f"{{'customer_id': None}} {nothing}"
    assert vectors[5].split()[0] == "entity-rows"
    assert columns[0].startswith("[None, None] ")
    assert pushed == []
    assert served == [
        "['customer_id'] ['orders_30d', 'spend_30d', 'country']",
        "None True",
    ]
    assert refused[0].startswith("404 unknown-feature-service did you mean `churn_v1`? ")
    assert eval(concurrent[0]) == [  # noqa: S307 - What the guide printed.
        {"orders_30d": 5, "spend_30d": 310.5, "country": None},
        nothing,
    ]
    assert asyncio.iscoroutinefunction(names["look_up"])
