"""Compacts one folder, to be killed at it: `python -m tests...compacting_process FOLDER`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from evenstore.compaction.compact import compact_folder
from tests.support.plain_source import PLAIN_VIEW, open_plain_source

if __name__ == "__main__":
    root = Path(sys.argv[1])
    sys.stdout.write("started\n")
    sys.stdout.flush()
    compact_folder(
        root, partial(open_plain_source, root), PLAIN_VIEW, target_rows=30_000, listing_s=0.1
    )
