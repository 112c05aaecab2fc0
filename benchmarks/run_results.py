"""What every benchmark keeps of a run, whatever its cases are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from typing_extensions import override

__all__ = ["FORMAT", "ContestCase", "ContestResults", "RunResults"]

FORMAT = 1


class _Ended(Protocol):
    status: Any
    reason: str | None


class ContestCase(Protocol):
    """What all contenders did in one case."""

    @property
    def contenders(self) -> Mapping[str, _Ended]:
        """By name, in the order they ran."""
        ...


_CaseT = TypeVar("_CaseT")
_ContestT = TypeVar("_ContestT", bound=ContestCase)


@dataclass(slots=True)
class RunResults(ABC, Generic[_CaseT]):
    """A whole run; each benchmark has a class of its own.

    Attributes:
        scale: Of the cases.
        seed: Of the data.
        repeats: Rounds that were asked for.
        machine: Facts of the machine.
        cases: By name.
        is_complete: Whether the run came to its end.
        benchmark: What the document says it is of.
    """

    scale: float
    seed: int
    repeats: int
    machine: dict[str, Any]
    cases: dict[str, _CaseT] = field(default_factory=dict)
    is_complete: bool = False

    benchmark: ClassVar[str]

    @property
    @abstractmethod
    def failures(self) -> list[str]:
        """Name what was wrong or failed, with the reason; not what is unavailable."""

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        own = asdict(self)
        cases = own.pop("cases")
        head = {"format": FORMAT, "benchmark": self.benchmark}
        head |= {"is_complete": own.pop("is_complete")}
        return head | own | {"cases": cases}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Read what `to_document` wrote."""
        own = {name: document[name] for name in document if name not in {"format", "benchmark"}}
        cases = {name: cls.read_case(case) for name, case in own["cases"].items()}
        return cls(**cls.read_own(own | {"cases": cases}))

    @classmethod
    @abstractmethod
    def read_case(cls, case: dict[str, Any]) -> _CaseT:
        """Read one case of a document."""

    @classmethod
    def read_own(cls, own: dict[str, Any]) -> dict[str, Any]:
        """Make objects of what else JSON has plain, by name of the attribute."""
        return own


class ContestResults(RunResults[_ContestT]):
    """A run in which contenders do the same."""

    __slots__ = ()

    @property
    @override
    def failures(self) -> list[str]:
        return [
            f"{name}/{contender}: {result.status}: {result.reason}"
            for name, case in self.cases.items()
            for contender, result in case.contenders.items()
            if result.status not in {"ok", "unavailable"}
        ]
