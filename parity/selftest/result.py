"""What a self-test found, as data, as a JSON document and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from parity.causes.finding import Cause
from parity.report import Difference

__all__ = ["CleanResult", "PlantResult", "SelftestResult", "build_document", "format_table"]

_SCHEMA_VERSION = 1
_LEAST_RIGHT_CAUSES = 0.95


@dataclass(frozen=True, slots=True)
class PlantResult:
    """What became of one planted fault.

    Attributes:
        name: The fault.
        classes: The ways of skew that it stands for.
        expected: The cause that it has.
        n_planted: Entities that it damaged.
        n_found: Those of them with a differing cell, where the gate was red.
        n_false_alarms: Differing cells of other entities.
        causes: The causes of the damaged entities' differing cells, with how many have each.
    """

    name: str
    classes: tuple[str, ...]
    expected: Cause
    n_planted: int
    n_found: int
    n_false_alarms: int
    causes: Counter[Cause]

    @property
    def is_detected(self) -> bool:
        """Whether every damaged entity was found."""
        return 0 < self.n_planted == self.n_found

    @property
    def is_cause_right(self) -> bool:
        """Whether the fault was found and every cell of it has its cause."""
        return self.is_detected and set(self.causes) == {self.expected}


@dataclass(frozen=True, slots=True)
class CleanResult:
    """One run on stores that nobody has damaged; `differences` are false alarms."""

    seed: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class SelftestResult:
    """All of a self-test."""

    plants: tuple[PlantResult, ...]
    clean_runs: tuple[CleanResult, ...]

    @property
    def n_detected(self) -> int:
        """How many faults were detected."""
        return sum(plant.is_detected for plant in self.plants)

    @property
    def n_right_causes(self) -> int:
        """How many faults were put down to their cause."""
        return sum(plant.is_cause_right for plant in self.plants)

    @property
    def n_false_alarms(self) -> int:
        """How many undamaged cells were said to differ."""
        beside = sum(plant.n_false_alarms for plant in self.plants)
        return beside + sum(len(clean.differences) for clean in self.clean_runs)

    @property
    def has_passed(self) -> bool:
        """Whether all was detected, 95 % rightly explained, and nothing said to be what is not."""
        return (
            self.n_detected == len(self.plants)
            and self.n_right_causes >= _LEAST_RIGHT_CAUSES * len(self.plants)
            and not self.n_false_alarms
        )


def build_document(result: SelftestResult) -> dict[str, Any]:
    """Return the JSON document."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "passed": result.has_passed,
        "n_planted": len(result.plants),
        "n_detected": result.n_detected,
        "n_right_causes": result.n_right_causes,
        "n_clean_runs": len(result.clean_runs),
        "n_false_alarms": result.n_false_alarms,
        "plants": [
            {
                "name": plant.name,
                "classes": list(plant.classes),
                "is_detected": plant.is_detected,
                "is_cause_right": plant.is_cause_right,
                "expected_cause": plant.expected.value,
                "causes": {cause.value: n for cause, n in _sorted_causes(plant)},
                "n_planted_entities": plant.n_planted,
                "n_found_entities": plant.n_found,
                "n_false_alarms": plant.n_false_alarms,
            }
            for plant in result.plants
        ],
        "false_alarms": [
            {
                "seed": clean.seed,
                "view": difference.view_name,
                "feature": difference.feature,
                "entity": dict(difference.entity_key),
                "outcome": difference.outcome.value,
            }
            for clean in result.clean_runs
            for difference in clean.differences
        ],
    }


def _sorted_causes(plant: PlantResult) -> list[tuple[Cause, int]]:
    """Return a plant's causes, the most frequent first."""
    return sorted(plant.causes.items(), key=lambda found: (-found[1], found[0].value))


def format_table(result: SelftestResult) -> Iterator[str]:
    """Return the lines of the table, and of what it comes to."""
    name_width = max((len(plant.name) for plant in result.plants), default=5)
    yield f"{'planted':{name_width}}  {'class':8}  detected  cause"
    for plant in result.plants:
        causes = ", ".join(cause.value for cause, _ in _sorted_causes(plant)) or "-"
        if plant.is_detected and not plant.is_cause_right:
            causes += f" (should be {plant.expected.value})"
        if plant.n_false_alarms:
            causes += f"; {plant.n_false_alarms} undamaged cells differ"
        detected = "yes" if plant.is_detected else "NO"
        classes = " ".join(plant.classes)
        yield f"{plant.name:{name_width}}  {classes:8}  {detected:8}  {causes}"
    n_plants = len(result.plants)
    yield ""
    yield f"detected: {result.n_detected} of {n_plants}"
    yield f"cause named rightly: {result.n_right_causes} of {n_plants}"
    n_alarming = sum(bool(clean.differences) for clean in result.clean_runs)
    yield f"clean runs with a false alarm: {n_alarming} of {len(result.clean_runs)}"
    yield f"self-test {'passed' if result.has_passed else 'FAILED'}"
