"""The schemas of stored rows, kept in Redis beside the rows: what a reader of an older row asks.

One Redis hash per project. A writer adds its view's schema with every round trip, so that the
schema is there before the first row that names it, also after the store was emptied.

| field | value |
|---|---|
| `<view>:<8 hexadecimal digits>` | the features of rows with this fingerprint, JSON (`RowSchema`) |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evenstore.codec.packed_row import RowSchema
from evenstore.errors import CorruptRowError
from evenstore.online.connection import Command
from evenstore.schema.model import FeatureViewSchema

__all__ = [
    "RowSchemaNeeded",
    "list_schemas_command",
    "read_schemas",
    "register_schema_command",
    "schemas_key",
]


@dataclass
class RowSchemaNeeded(Exception):  # noqa: N818 - no error: a question that its catcher answers
    """A stored row has another schema than its view has now, and the reader must ask which.

    Attributes:
        view_name: The view.
        fingerprint: The row's.
        command: Asks Redis.
    """

    view_name: str
    fingerprint: bytes
    command: Command

    @staticmethod
    def of(project: str, view_name: str, fingerprint: bytes) -> RowSchemaNeeded:
        """Ask for a schema."""
        field = _field(view_name, fingerprint)
        return RowSchemaNeeded(view_name, fingerprint, (b"HGET", schemas_key(project), field))

    def read(self, reply: object) -> RowSchema:
        """Read the answer.

        Raises:
            CorruptRowError: Redis does not know the schema, or its text is none.
        """
        if not isinstance(reply, bytes):
            msg = f"{self.view_name}: nothing tells what a stored row holds"
            raise CorruptRowError(
                msg, hint="run `feast materialize --disable-event-timestamp`, or delete the entity"
            )
        return RowSchema.from_json(reply)


def schemas_key(project: str) -> bytes:
    """Return the Redis key of a project's schemas."""
    return b"evenstore:schemas:" + project.encode()


def register_schema_command(project: str, view: FeatureViewSchema) -> Command:
    """Return the command that adds a view's schema."""
    schema = RowSchema.of(view.features)
    field = _field(view.name, schema.fingerprint)
    return (b"HSETNX", schemas_key(project), field, schema.to_json().encode())


def list_schemas_command(project: str) -> Command:
    """Return the command that reads all schemas of a project."""
    return (b"HGETALL", schemas_key(project))


def read_schemas(reply: Mapping[bytes, bytes]) -> dict[str, dict[bytes, RowSchema]]:
    """Read the answer of `list_schemas_command`: schemas by view and field of the hash."""
    schemas: dict[str, dict[bytes, RowSchema]] = {}
    for field, text in reply.items():
        view_name = field.rpartition(b":")[0].decode()
        schemas.setdefault(view_name, {})[field] = RowSchema.from_json(text)
    return schemas


def _field(view_name: str, fingerprint: bytes) -> bytes:
    return view_name.encode() + b":" + fingerprint.hex().encode()
