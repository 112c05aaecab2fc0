"""What a run measured, as data: kept as JSON, raw samples included, and summed up from there.

A ratio is taken round by round, between measurements that were made next to each other, and given
as the median of those with the least and the greatest: a machine that is slow for a while is slow
for both.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.cases import Case
from benchmarks.measure import Outcome, Sample, Status
from evenstore.errors import ConfigurationError
from evenstore.whole_file import whole_file

__all__ = [
    "AnyResults",
    "CaseResult",
    "ContenderResult",
    "Results",
    "Spread",
    "read_document",
    "read_results",
    "write_results",
]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the range around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum values up."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(slots=True)
class ContenderResult:
    """What a contender did in one case.

    Attributes:
        status: `ok`, or how its first failure ended.
        reason: Of the failure.
        prepare_s: Seconds it prepared (Feast's apply, an index).
        value_hash: Hash of its answer.
        samples: One per round.
    """

    status: Status = "ok"
    reason: str | None = None
    prepare_s: float | None = None
    value_hash: str | None = None
    samples: list[Sample] = field(default_factory=list)

    def spread(self, quantity: Callable[[Sample], float]) -> Spread | None:
        """Sum a quantity up over the rounds, None without any."""
        return Spread.of([quantity(sample) for sample in self.samples]) if self.samples else None

    def fail(self, outcome: Outcome) -> None:
        """Take over why there is no sample."""
        self.status, self.reason = outcome.status, outcome.reason


@dataclass(slots=True)
class CaseResult:
    """What all contenders did in one case.

    Attributes:
        case: The case, scaled.
        contenders: By name, in the order they ran.
    """

    case: Case
    contenders: dict[str, ContenderResult] = field(default_factory=dict)

    def ratio(self, name: str, base: str, quantity: Callable[[Sample], float]) -> Spread | None:
        """Divide a quantity of one contender by another's, round by round."""
        if name not in self.contenders or base not in self.contenders:
            return None
        pairs = list(
            zip(self.contenders[name].samples, self.contenders[base].samples, strict=False)
        )
        if not pairs:
            return None
        return Spread.of([quantity(one) / quantity(other) for one, other in pairs])


@dataclass(slots=True)
class Results:
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
    cases: dict[str, CaseResult] = field(default_factory=dict)
    is_complete: bool = False

    @property
    def failures(self) -> list[str]:
        """Name `case/contender: reason` of what was wrong or failed; not what is unavailable."""
        return [
            f"{name}/{contender}: {result.status}: {result.reason}"
            for name, case in self.cases.items()
            for contender, result in case.contenders.items()
            if result.status not in {"ok", "unavailable"}
        ]

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return {
            "format": _FORMAT,
            "benchmark": "offline",
            "is_complete": self.is_complete,
            "scale": self.scale,
            "seed": self.seed,
            "repeats": self.repeats,
            "machine": self.machine,
            "cases": {
                name: {
                    "case": result.case.to_document(),
                    "contenders": {
                        contender: _contender_document(of)
                        for contender, of in result.contenders.items()
                    },
                }
                for name, result in self.cases.items()
            },
        }


class AnyResults(Protocol):
    """The results of any benchmark of this folder."""

    is_complete: bool

    @property
    def failures(self) -> list[str]:
        """Name what was wrong or failed."""
        ...

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        ...


def write_results(results: AnyResults, path: Path) -> None:
    """Write results as JSON.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(results.to_document(), indent=1) + "\n", encoding="utf-8")


def read_document(path: Path) -> dict[str, Any]:
    """Read the results of any benchmark of this folder; `benchmark` in it says of which.

    Raises:
        ConfigurationError: The file is not there, or is something else.
    """
    hint = "make one: python -m benchmarks offline --out FILE"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        msg = f"cannot read `{path}`: {exc}"
        raise ConfigurationError(msg, hint=hint) from exc
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        msg = f"`{path}` holds no results of this benchmark"
        raise ConfigurationError(msg, hint=hint)
    return document


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote.

    Raises:
        ConfigurationError: The file is not there, or is something else.
    """
    document = read_document(path)
    return Results(
        scale=document["scale"],
        seed=document["seed"],
        repeats=document["repeats"],
        machine=document["machine"],
        is_complete=document["is_complete"],
        cases={
            name: CaseResult(
                Case(**case["case"]),
                {contender: _read_contender(of) for contender, of in case["contenders"].items()},
            )
            for name, case in document["cases"].items()
        },
    )


def _contender_document(result: ContenderResult) -> dict[str, Any]:
    return {
        "status": result.status,
        "reason": result.reason,
        "prepare_s": result.prepare_s,
        "value_hash": result.value_hash,
        "samples": [Outcome("ok", sample).to_document()["sample"] for sample in result.samples],
    }


def _read_contender(document: dict[str, Any]) -> ContenderResult:
    samples = [Sample(**sample) for sample in document["samples"]]
    return ContenderResult(**(document | {"samples": samples}))
