"""`python -m serving.openapi` prints, writes and checks the gateway's OpenAPI document."""

from __future__ import annotations

import sys

from serving.openapi.cli import main

__all__: list[str] = []

sys.exit(main())
