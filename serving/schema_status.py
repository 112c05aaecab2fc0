"""Where the served schema comes from, as the supervisor tells the workers: a small file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evenstore.clock import format_us
from evenstore.whole_file import whole_file

__all__ = ["SchemaStatus", "read_schema_status", "write_schema_status"]


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """What readiness says of the schema.

    Attributes:
        schema_source: `registry` while the registry can be read and is what is served; `last-good`
            while it cannot be used, and what was compiled last is served.
        registry_fingerprint: Fingerprint of the schema that was compiled last.
        compiled_at: When that was, RFC 3339.
        problem: Why the registry cannot be used; None while it can.
    """

    schema_source: Literal["registry", "last-good"]
    registry_fingerprint: str
    compiled_at: str
    problem: str | None = None

    @staticmethod
    def of_registry(fingerprint: str, compiled_us: int) -> SchemaStatus:
        """Return the status of a schema that was compiled just now."""
        return SchemaStatus("registry", fingerprint, format_us(compiled_us))


def write_schema_status(status: SchemaStatus, path: Path) -> None:
    """Replace the file.

    Raises:
        ConfigurationError: It cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(status), indent=1))


def read_schema_status(path: Path) -> SchemaStatus | None:
    """Read the file; None when there is none that can be read: then nothing is known."""
    try:
        return SchemaStatus(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
