"""What was seen of one mutant, and by whom."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Catcher", "Verdict"]


class Catcher(enum.Enum):
    """Who can see that the code is broken."""

    LIVE = "live comparison"
    """Golden compares what the gateway serves with the point-in-time join."""
    FROZEN = "frozen expected values"
    """Golden compares both sides with values that were frozen when the set was built."""
    ORACLE = "oracle"
    """The tests' oracle in plain Python judges the point-in-time join."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What golden and the oracle said of one copy of the code.

    Attributes:
        n_live: Values that differ between both stores, by golden's comparison.
        n_frozen_offline: Offline values that differ from the frozen ones.
        n_frozen_online: Online values that differ from the frozen ones.
        n_oracle: Offline values that differ from the oracle's.
        golden_stopped: Why golden could not compare; None where it did.
        oracle_stopped: Why the join of the oracle's comparison failed; None where it did not.
    """

    n_live: int = 0
    n_frozen_offline: int = 0
    n_frozen_online: int = 0
    n_oracle: int = 0
    golden_stopped: str | None = None
    oracle_stopped: str | None = None

    @property
    def caught_by(self) -> frozenset[Catcher]:
        """Who saw values that differ."""
        counts = {
            Catcher.LIVE: self.n_live,
            Catcher.FROZEN: self.n_frozen_offline + self.n_frozen_online,
            Catcher.ORACLE: self.n_oracle,
        }
        return frozenset(catcher for catcher, n_differing in counts.items() if n_differing)

    @property
    def is_golden_red(self) -> bool:
        """Tell whether golden alone turns red: values differ, or it stopped with an error."""
        return self.golden_stopped is not None or bool(
            self.n_live + self.n_frozen_offline + self.n_frozen_online
        )

    @property
    def is_clean(self) -> bool:
        """Tell whether nobody saw anything, as for code without a mutant."""
        return not self.is_golden_red and not self.n_oracle and self.oracle_stopped is None

    def to_json(self) -> dict[str, object]:
        """Return the verdict for a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Verdict:
        """Read a verdict back."""
        return cls(**document)
