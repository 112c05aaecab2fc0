"""docs/reference/parity-causes.md lists what the code knows, in its order."""

from __future__ import annotations

import re

from parity.causes.finding import Cause
from tests.parity.causes.cases import facts
from tests.repo.sources import ROOT

PAGE = (ROOT / "docs" / "reference" / "parity-causes.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """The first cells of the table below the line that names its columns."""
    table = PAGE[PAGE.index(heading) :].split("\n\n", 1)[0]
    return [line.split("|")[1].strip() for line in table.splitlines()[2:]]


def test_every_cause_is_listed_in_the_order_of_its_rule() -> None:
    assert first_cells("| cause |") == [f"`{cause.value}`" for cause in Cause]


def test_every_fact_is_listed() -> None:
    listed = re.findall(r"`(\w+)`", " ".join(first_cells("| fact |")))
    assert sorted(listed) == sorted(facts().named_facts())
