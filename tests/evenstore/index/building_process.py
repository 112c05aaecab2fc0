"""Builds one index again and again, each time of the other kind, to be killed at it."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from evenstore.index.build import build_index
from tests.support.plain_source import PLAIN_VIEW, open_plain_source

if __name__ == "__main__":
    root, index = Path(sys.argv[1]), Path(sys.argv[2])
    sys.stdout.write("started\n")
    sys.stdout.flush()
    for number in itertools.count():
        kind = "table" if number % 2 else "positions"
        build_index(index, open_plain_source(root), PLAIN_VIEW, kind=kind)  # type: ignore[arg-type]
