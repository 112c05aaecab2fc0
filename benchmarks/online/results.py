"""What an online run measured, as data: kept as JSON with all samples, and summed up from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from benchmarks.measure import Status
from benchmarks.online.cases import FEAST, FEAST_BATCHED, OnlineCase, Step
from benchmarks.online.measure import LoadSample, LookupSample, StepOutcome
from benchmarks.results import Spread
from benchmarks.run_results import ContestResults

__all__ = [
    "OnlineCaseResult",
    "OnlineContenderResult",
    "OnlineResults",
    "rows_per_s",
]


@dataclass(slots=True)
class OnlineContenderResult:
    """What a contender did in one case.

    Attributes:
        n_entities: It was given; fewer than the case's where it could not take more.
        status: `ok`, or how its first failure ended.
        reason: Of the failure.
        loads: One sample per round, by step.
        lookups: One sample per round, by shape.
    """

    n_entities: int
    status: Status = "ok"
    reason: str | None = None
    loads: dict[Step, list[LoadSample]] = field(default_factory=dict)
    lookups: dict[str, list[LookupSample]] = field(default_factory=dict)

    def add(self, step: Step | None, outcome: StepOutcome) -> None:
        """Keep the samples of a step (None: lookups), or why there are none."""
        if outcome.status != "ok":
            self.status, self.reason = outcome.status, outcome.reason
        if step is not None and outcome.load is not None:
            self.loads.setdefault(step, []).append(outcome.load)
        for shape, sample in (outcome.lookups or {}).items():
            self.lookups.setdefault(shape, []).append(sample)


@dataclass(slots=True)
class OnlineCaseResult:
    """What all contenders did in one case.

    Attributes:
        case: The case, scaled.
        contenders: By name, in the order they ran.
    """

    case: OnlineCase
    contenders: dict[str, OnlineContenderResult] = field(default_factory=dict)

    def load_spread(
        self, name: str, step: Step, quantity: Callable[[LoadSample], float]
    ) -> Spread | None:
        """Sum a quantity of a step up over the rounds, None without any."""
        return _spread(map(quantity, self._loads(name, step)))

    def load_ratio(
        self, name: str, base: str | None, step: Step, quantity: Callable[[LoadSample], float]
    ) -> Spread | None:
        """Divide a quantity of one contender by another's, round by round."""
        if base is None:
            return None
        pairs = zip(self._loads(name, step), self._loads(base, step), strict=False)
        return _spread(quantity(one) / quantity(other) for one, other in pairs)

    def lookup_ratio(
        self, name: str, base: str, shape: str, quantity: Callable[[LookupSample], float]
    ) -> Spread | None:
        """Divide a quantity of lookups of one contender by another's, round by round."""
        pairs = zip(self._lookups(name, shape), self._lookups(base, shape), strict=False)
        return _spread(quantity(one) / quantity(other) for one, other in pairs)

    def faster_stock(self, step: Step) -> str | None:
        """Name the stock variant with the greater median rows/s in a step."""
        medians = {
            name: spread.median
            for name in (FEAST, FEAST_BATCHED)
            if (spread := self.load_spread(name, step, rows_per_s)) is not None
        }
        return max(medians, key=lambda name: medians[name], default=None)

    def _loads(self, name: str, step: Step) -> Sequence[LoadSample]:
        return self.contenders[name].loads.get(step, ()) if name in self.contenders else ()

    def _lookups(self, name: str, shape: str) -> Sequence[LookupSample]:
        return self.contenders[name].lookups.get(shape, ()) if name in self.contenders else ()


def rows_per_s(sample: LoadSample) -> float:
    """Return rows of the sources per second of the call."""
    return sample.n_rows / sample.call_s


@dataclass(slots=True)
class OnlineResults(ContestResults[OnlineCaseResult]):
    """A whole run of the online benchmark."""

    benchmark = "online"

    @classmethod
    @override
    def read_case(cls, case: dict[str, Any]) -> OnlineCaseResult:
        contenders = {name: _read_contender(of) for name, of in case["contenders"].items()}
        return OnlineCaseResult(OnlineCase.from_document(case["case"]), contenders)


def _read_contender(document: dict[str, Any]) -> OnlineContenderResult:
    loads = {
        step: [LoadSample(**sample) for sample in samples]
        for step, samples in document["loads"].items()
    }
    lookups = {
        shape: [LookupSample(**sample) for sample in samples]
        for shape, samples in document["lookups"].items()
    }
    return OnlineContenderResult(**(document | {"loads": loads, "lookups": lookups}))


def _spread(values: Any) -> Spread | None:
    kept = list(values)
    return Spread.of(kept) if kept else None
