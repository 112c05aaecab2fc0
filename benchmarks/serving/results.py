"""What a serving run measured, as data: kept as JSON with all samples, and summed up from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measure import Status
from benchmarks.results import Spread
from benchmarks.serving.background import WriteRates
from benchmarks.serving.cases import Layout, ServingCase
from benchmarks.serving.open_loop import OpenLoop
from benchmarks.serving.wrk import ClosedLoop

__all__ = [
    "BENCHMARK",
    "BusySample",
    "ClosedSample",
    "ServingCaseResult",
    "ServingContenderResult",
    "ServingResults",
    "StartSample",
]

BENCHMARK = "serving"
_FORMAT = 1


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
class ServingResults:
    """A whole run.

    Attributes:
        scale: Of the number of entities.
        seed: Of the data.
        repeats: Rounds that were asked for.
        machine: Facts of the machine.
        settings: Seconds, connections and the like.
        cases: By name and layout.
        starts: Of the servers, by contender.
        is_complete: Whether the run came to its end.
    """

    scale: float
    seed: int
    repeats: int
    machine: dict[str, Any]
    settings: dict[str, Any]
    cases: dict[str, ServingCaseResult] = field(default_factory=dict)
    starts: dict[str, list[StartSample]] = field(default_factory=dict)
    is_complete: bool = False

    @property
    def failures(self) -> list[str]:
        """Name `case/contender: reason` of what was wrong or failed."""
        return [
            f"{name}/{contender}: {result.status}: {result.reason}"
            for name, case in self.cases.items()
            for contender, result in case.contenders.items()
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
            "settings": self.settings,
            "starts": {name: list(map(asdict, starts)) for name, starts in self.starts.items()},
            "cases": {name: asdict(result) for name, result in self.cases.items()},
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ServingResults:
        """Read what `to_document` wrote."""
        names = ("scale", "seed", "repeats", "machine", "settings", "is_complete")
        results = cls(**{name: document[name] for name in names})
        for name, case in document["cases"].items():
            contenders = {key: _read_contender(of) for key, of in case["contenders"].items()}
            read = {"case": ServingCase(**case["case"]), "contenders": contenders}
            results.cases[name] = ServingCaseResult(**(case | read))
        for name, starts in document["starts"].items():
            results.starts[name] = [StartSample(**start) for start in starts]
        return results


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
