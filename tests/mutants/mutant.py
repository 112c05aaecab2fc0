"""A code mutant: one text of one file of ours, replaced by what somebody might have written."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tests.mutants.verdict import Catcher

__all__ = ["Area", "Mutant"]


class Area(enum.Enum):
    """What a mutant breaks."""

    SEMANTICS = "semantics"
    SQL = "SQL"
    OFFLINE = "offline join"
    MATERIALIZATION = "materialization"
    CODEC = "codec"
    ONLINE = "online store"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault in our own code.

    Attributes:
        name: Unique.
        area: What it breaks.
        file: From the root of the source tree.
        old: The text that is replaced; it occurs once in the file.
        new: What stands there instead.
        breaks: What becomes wrong, in few words.
        expected: Who sees values that differ; nobody where golden is blind, or where the code
            stops with an error.
        stops: Whether golden is expected to end with an error instead of a comparison.
        why: For a mutant that golden does not see: why that is so, and who does.
    """

    name: str
    area: Area
    file: str
    old: str
    new: str
    breaks: str
    expected: frozenset[Catcher]
    stops: bool = False
    why: str = ""

    def apply_to(self, text: str) -> str:
        """Return a file's text with the mutant in it.

        Raises:
            ValueError: The text to replace is not there, or is there more than once.
        """
        if text.count(self.old) != 1:
            msg = f"{self.name}: {text.count(self.old)} places in `{self.file}`, not one"
            raise ValueError(msg)
        return text.replace(self.old, self.new)
