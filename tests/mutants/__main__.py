"""`python -m tests.mutants`: what `make mutants` calls."""

from __future__ import annotations

import sys

from tests.mutants.cli import main

if __name__ == "__main__":
    sys.exit(main())
