"""What a serving run measured, as data: kept as JSON with all samples, and summed up from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from benchmarks.measure import Status
from benchmarks.results import Spread
from benchmarks.run_results import ContestResults
from benchmarks.serving.background import WriteRates
from benchmarks.serving.cases import Layout, ServingCase
from benchmarks.serving.open_loop import OpenLoop
from benchmarks.serving.wrk import ClosedLoop

__all__ = [
    "BusySample",
    "ClosedSample",
    "ServingCaseResult",
    "ServingContenderResult",
    "ServingResults",
    "StartSample",
]


@dataclass(frozen=True, slots=True)
class ClosedSample:
    """One closed loop.

    Attributes:
        loop: What wrk saw.
        server_cpu_us: Processor time of the server's processes meanwhile.
        redis_cpu_us: Processor time of Redis meanwhile.
        worker_rss_bytes: Resident memory of the worker afterwards.
    """

    loop: ClosedLoop
    server_cpu_us: float
    redis_cpu_us: float
    worker_rss_bytes: int

    @property
    def requests_per_s(self) -> float:
        """Answers that were no errors, per second."""
        return self.loop.requests_per_s

    def cpu_us_per_request(self) -> float:
        """Processor time of the server per answer."""
        return self.server_cpu_us / max(1, self.loop.n_requests)


@dataclass(frozen=True, slots=True)
class StartSample:
    """One start of a server.

    Attributes:
        ready_s: From its start until it says that it is ready.
        worker_rss_bytes: Resident memory of the worker when it is ready.
        total_rss_bytes: Of all processes.
        is_first: Whether nothing was left of an earlier start.
    """

    ready_s: float
    worker_rss_bytes: int
    total_rss_bytes: int
    is_first: bool


@dataclass(frozen=True, slots=True)
class BusySample:
    """Lookups at a fixed rate, idle and while rows are written.

    Attributes:
        idle: Nothing is written.
        busy: Rows are materialized and pushed.
        written: Rows per second that were reached meanwhile.
    """

    idle: OpenLoop
    busy: OpenLoop
    written: WriteRates


@dataclass(slots=True)
class ServingContenderResult:
    """What a contender did in one case.

    Attributes:
        status: `ok`, or how its first failure ended.
        reason: Of the failure.
        closed: One sample per round.
        opened: One per round and rate.
        busy: Lookups beside writes.
    """

    status: Status = "ok"
    reason: str | None = None
    closed: list[ClosedSample] = field(default_factory=list)
    opened: list[OpenLoop] = field(default_factory=list)
    busy: list[BusySample] = field(default_factory=list)

    def fail(self, status: Status, reason: str) -> None:
        """Keep why there are no more samples."""
        self.status, self.reason = status, reason

    def spread(self, quantity: Callable[[ClosedSample], float]) -> Spread | None:
        """Sum a quantity of the closed loops up, None without any."""
        return Spread.of([quantity(sample) for sample in self.closed]) if self.closed else None


@dataclass(slots=True)
class ServingCaseResult:
    """What all contenders did in one case with one layout.

    Attributes:
        case: The case.
        layout: Of evenstore's rows.
        n_entities: Stored.
        n_compared: Answers that were compared before.
        contenders: By name, in the order they ran.
    """

    case: ServingCase
    layout: Layout
    n_entities: int
    n_compared: int = 0
    contenders: dict[str, ServingContenderResult] = field(default_factory=dict)

    def ratio(
        self, name: str, base: str, quantity: Callable[[ClosedSample], float]
    ) -> Spread | None:
        """Divide a quantity of one contender by another's, round by round."""
        if name not in self.contenders or base not in self.contenders:
            return None
        pairs = zip(self.contenders[name].closed, self.contenders[base].closed, strict=False)
        ratios = [quantity(one) / quantity(other) for one, other in pairs if quantity(other)]
        return Spread.of(ratios) if ratios else None


@dataclass(slots=True)
class ServingResults(ContestResults[ServingCaseResult]):
    """A whole run of the serving benchmark.

    Attributes:
        settings: Seconds, connections and the like.
        starts: Of the servers, by contender.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    starts: dict[str, list[StartSample]] = field(default_factory=dict)

    benchmark = "serving"

    @classmethod
    @override
    def read_case(cls, case: dict[str, Any]) -> ServingCaseResult:
        contenders = {name: _read_contender(of) for name, of in case["contenders"].items()}
        read = {"case": ServingCase(**case["case"]), "contenders": contenders}
        return ServingCaseResult(**(case | read))

    @classmethod
    @override
    def read_own(cls, own: dict[str, Any]) -> dict[str, Any]:
        starts = {
            name: [StartSample(**start) for start in starts]
            for name, starts in own["starts"].items()
        }
        return own | {"starts": starts}


def _read_contender(document: dict[str, Any]) -> ServingContenderResult:
    closed: Sequence[ClosedSample] = [
        ClosedSample(**(sample | {"loop": ClosedLoop(**sample["loop"])}))
        for sample in document["closed"]
    ]
    opened = [OpenLoop(**sample) for sample in document["opened"]]
    busy = [
        BusySample(
            OpenLoop(**sample["idle"]),
            OpenLoop(**sample["busy"]),
            WriteRates(**sample["written"]),
        )
        for sample in document["busy"]
    ]
    return ServingContenderResult(**(document | {"closed": closed, "opened": opened, "busy": busy}))
