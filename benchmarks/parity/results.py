"""What a run of the parity benchmark measured, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from typing_extensions import override

from benchmarks.measure import Status
from benchmarks.parity.cases import ParityCase
from benchmarks.parity.measure import ParitySample, ParityStepOutcome
from benchmarks.results import Spread
from benchmarks.run_results import RunResults

__all__ = ["ParityCaseResult", "ParityResults"]


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
class ParityResults(RunResults[ParityCaseResult]):
    """A whole run."""

    benchmark: ClassVar[str] = "parity"

    @property
    @override
    def failures(self) -> list[str]:
        return [
            f"{name}: {result.status}: {result.reason}"
            for name, result in self.cases.items()
            if result.status != "ok"
        ]

    @classmethod
    @override
    def read_case(cls, case: dict[str, Any]) -> ParityCaseResult:
        samples = [ParitySample(**sample) for sample in case["samples"]]
        return ParityCaseResult(**(case | {"case": ParityCase(**case["case"]), "samples": samples}))
