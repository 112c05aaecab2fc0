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

from typing_extensions import override

from benchmarks.cases import Case
from benchmarks.measure import Outcome, Sample, Status
from benchmarks.run_results import FORMAT, ContestResults
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
class Results(ContestResults[CaseResult]):
    """A whole run of the offline benchmark."""

    benchmark = "offline"

    @classmethod
    @override
    def read_case(cls, case: dict[str, Any]) -> CaseResult:
        contenders = {name: _read_contender(of) for name, of in case["contenders"].items()}
        return CaseResult(Case(**case["case"]), contenders)


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
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        msg = f"`{path}` holds no results of this benchmark"
        raise ConfigurationError(msg, hint=hint)
    return document


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote.

    Raises:
        ConfigurationError: The file is not there, or is something else.
    """
    return Results.from_document(read_document(path))


def _read_contender(document: dict[str, Any]) -> ContenderResult:
    samples = [Sample(**sample) for sample in document["samples"]]
    return ContenderResult(**(document | {"samples": samples}))
