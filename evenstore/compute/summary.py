"""What a run did, in numbers and in one line."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from typing_extensions import override

from evenstore.compute.plan import RunPlan

__all__ = ["RunSummary", "tell_on_stderr"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did.

    Attributes:
        view: The view's name.
        plan: What was loaded, and why.
        n_read: Newest rows read, one per entity.
        n_written: Rows that were greater than the stored ones.
        n_superseded: Rows that were not.
        n_late: Rows of unread files that the interval of the last run covers.
        n_ambiguous: Winners that only their content set apart.
        n_refused: Bad rows that were skipped.
        n_left_out: Rows of the source without an entity key or an event timestamp.
    """

    view: str
    plan: RunPlan
    n_read: int
    n_written: int
    n_superseded: int
    n_late: int = 0
    n_ambiguous: int = 0
    n_refused: int = 0
    n_left_out: int = 0

    @override
    def __str__(self) -> str:
        counts = [
            f"{self.n_read:,} rows read",
            f"{self.n_written:,} written",
            f"{self.n_superseded:,} superseded",
        ]
        seldom = {
            "late": self.n_late,
            "ambiguous": self.n_ambiguous,
            "refused": self.n_refused,
            "left out without a key or event timestamp": self.n_left_out,
        }
        counts += [f"{count:,} {name}" for name, count in seldom.items() if count]
        line = f"{self.view}: {', '.join(counts)} ({self.plan.reason})"
        if self.plan.blind_spot:
            line += f"\n{self.view}: not seen: {self.plan.blind_spot}"
        return line


def tell_on_stderr(text: str) -> None:
    """Say something about a run to whoever watches it; stdout is for data."""
    sys.stderr.write(text)
