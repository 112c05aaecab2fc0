"""Whether a gateway serves what a registry defines: nothing can be compared otherwise."""

from __future__ import annotations

from evenstore.client.answers import Readiness
from evenstore.errors import SchemaDriftError
from evenstore.schema.model import RegistrySchema

__all__ = ["refuse_other_schema"]


def refuse_other_schema(readiness: Readiness, registry: RegistrySchema) -> None:
    """Check that a gateway serves the project and the schema of a registry.

    Raises:
        SchemaDriftError: It serves another project, or another version of the schema.
    """
    if readiness.project != registry.project:
        msg = f"the gateway serves project `{readiness.project}`, the repo is `{registry.project}`"
        raise SchemaDriftError(msg, hint="name the repo and the gateway of one project")
    if readiness.schema_fingerprint != registry.fingerprint:
        msg = (
            f"the gateway serves schema {readiness.schema_fingerprint},"
            f" the registry has {registry.fingerprint}"
        )
        raise SchemaDriftError(
            msg, hint="wait until the gateway has loaded the last `feast apply`, or restart it"
        )
