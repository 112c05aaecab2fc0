"""The mutants themselves: each is one edit that still is code, of a text that is there once."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutants.catalogue.mutants import MUTANTS
from tests.mutants.mutant import Area, Mutant
from tests.mutants.verdict import Catcher
from tests.repo.sources import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_one_edit_that_compiles(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    mutated = mutant.apply_to(text)
    assert mutated != text
    if mutant.file.endswith(".py"):
        compile(mutated, mutant.file, "exec", dont_inherit=True)


def test_mutants_are_many_different_and_everywhere() -> None:
    assert len(MUTANTS) >= 40
    assert [name for name, n in Counter(mutant.name for mutant in MUTANTS).items() if n > 1] == []
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
    by_area = Counter(mutant.area for mutant in MUTANTS)
    assert {area for area in Area if by_area[area] < 3} == set()
    assert {mutant.file.split("/")[0] for mutant in MUTANTS} == {"evenstore", "serving"}


def test_many_are_of_code_that_both_stores_share() -> None:
    shared = frozenset({Catcher.FROZEN, Catcher.ORACLE})
    assert sum(mutant.expected == shared for mutant in MUTANTS) >= 8


def test_those_that_golden_does_not_see_say_why_and_no_other_does() -> None:
    for mutant in MUTANTS:
        is_blind = not mutant.expected and not mutant.stops
        assert bool(mutant.why) is is_blind, mutant.name
        # What the frozen values are for the live comparison, they are for the oracle, too.
        assert Catcher.FROZEN in mutant.expected or not mutant.expected, mutant.name


def test_text_that_is_not_there_once_is_refused() -> None:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == "last-write-wins"]
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="0 places"):
        mutant.apply_to(mutant.apply_to(text))
    with pytest.raises(ValueError, match="2 places"):
        mutant.apply_to(text + text)
