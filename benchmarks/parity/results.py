"""What a run of the parity benchmark measured, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measure import Status
from benchmarks.parity.cases import ParityCase
from benchmarks.parity.measure import ParitySample, ParityStepOutcome
from benchmarks.results import Spread

__all__ = ["BENCHMARK", "ParityCaseResult", "ParityResults"]

BENCHMARK = "parity"
_FORMAT = 1


@dataclass(slots=True)
class ParityCaseResult:
    """What was measured in one case.

    Attributes:
        case: The case.
        n_entities: Entities that were stored.
        status: `ok`, or how its first failure ended.
        reason: Of the failure.
        samples: One per round.
    """

    case: ParityCase
    n_entities: int
    status: Status = "ok"
    reason: str | None = None
    samples: list[ParitySample] = field(default_factory=list)

    def add(self, outcome: ParityStepOutcome) -> None:
        """Keep a sample, or why there is none."""
        if outcome.sample is not None:
            self.samples.append(outcome.sample)
        else:
            self.status, self.reason = outcome.status, outcome.reason

    def spread(self, quantity: Callable[[ParitySample], float]) -> Spread | None:
        """Sum a quantity up over the rounds, None without any."""
        return Spread.of([quantity(sample) for sample in self.samples]) if self.samples else None


@dataclass(slots=True)
class ParityResults:
    """A whole run.

    Attributes:
        scale: Of the cases.
        seed: Of the data.
        repeats: Rounds that were asked for.
        machine: Facts of the machine.
        cases: By name.
        is_complete: Whether the run came to its end.
    """

    scale: float
    seed: int
    repeats: int
    machine: dict[str, Any]
    cases: dict[str, ParityCaseResult] = field(default_factory=dict)
    is_complete: bool = False

    @property
    def failures(self) -> list[str]:
        """Name `case: reason` of what was wrong or failed."""
        return [
            f"{name}: {result.status}: {result.reason}"
            for name, result in self.cases.items()
            if result.status != "ok"
        ]

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return {
            "format": _FORMAT,
            "benchmark": BENCHMARK,
            "is_complete": self.is_complete,
            "scale": self.scale,
            "seed": self.seed,
            "repeats": self.repeats,
            "machine": self.machine,
            "cases": {name: asdict(result) for name, result in self.cases.items()},
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ParityResults:
        """Read what `to_document` wrote."""
        results = cls(
            scale=document["scale"],
            seed=document["seed"],
            repeats=document["repeats"],
            machine=document["machine"],
            is_complete=document["is_complete"],
        )
        for name, case in document["cases"].items():
            results.cases[name] = ParityCaseResult(
                ParityCase(**case["case"]),
                case["n_entities"],
                case["status"],
                case["reason"],
                [ParitySample(**sample) for sample in case["samples"]],
            )
        return results
