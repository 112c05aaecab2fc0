"""`python -m serving` is `evenstore-serve`."""

from __future__ import annotations

import sys

from serving.cli import main

__all__: list[str] = []

sys.exit(main())
