"""What a training dataset was made from, as plain data: the same inputs give the same manifest.

There is no wall clock in it, so that building again can be compared byte by byte.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.errors import FormatVersionError, TrainingError
from evenstore.schema.model import Field
from evenstore.semantics import Knowledge

__all__ = ["MANIFEST_VERSION", "DatasetSpec", "Manifest", "event_timestamp_of", "status_of"]

MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What to build: the feature service, the knowledge mode and the roles of columns.

    Attributes:
        feature_service: Name in the registry.
        knowledge: Which feature rows an entity row may know of.
        label: Column of the entity rows that a model shall predict.
        event_timestamp_column: Column with the as-of instant of each entity row.
        label_timestamp_column: Column with the instant at which the label was known, or None where
            the entity rows do not say.
    """

    feature_service: str
    knowledge: Knowledge
    label: str
    event_timestamp_column: str = "event_timestamp"
    label_timestamp_column: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The proof of a training dataset's origin.

    Attributes:
        spec: What was asked for.
        schema_fingerprint: Of the resolved feature service.
        join_keys: Entity columns; never features of a model.
        features: Output columns `view__feature` with their declared types, in service order.
        n_rows: Entity rows, and rows of the dataset.
        entity_rows_hash: Value hash of the entity rows as they were joined.
        result_hash: Value hash of the whole dataset.
        versions: Of the libraries that took part.
    """

    spec: DatasetSpec
    schema_fingerprint: str
    join_keys: tuple[str, ...]
    features: tuple[Field, ...]
    n_rows: int
    entity_rows_hash: str
    result_hash: str
    versions: dict[str, str]

    def to_json(self) -> str:
        """Render as JSON with sorted keys: equal manifests give equal text."""
        return json.dumps(self.to_document(), indent=1, sort_keys=True)

    def to_document(self) -> dict[str, Any]:
        """Return the manifest as what JSON can hold."""
        document = dataclasses.asdict(self)
        document["manifest_version"] = MANIFEST_VERSION
        document["spec"]["knowledge"] = self.spec.knowledge.value
        document["features"] = [[field.name, field.dtype.value] for field in self.features]
        document["join_keys"] = list(self.join_keys)
        return document

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest back.

        Raises:
            FormatVersionError: It was written by a version with another form.
            TrainingError: It is not a manifest.
        """
        try:
            return cls._from_document(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            msg = f"the dataset's manifest cannot be read: {exc}"
            raise TrainingError(msg, hint="build the dataset again") from exc

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Manifest:
        written = document["manifest_version"]
        if written != MANIFEST_VERSION:
            msg = f"the manifest has version {written!r}, this reader knows {MANIFEST_VERSION}"
            raise FormatVersionError(msg, hint="build the dataset again")
        spec = document["spec"]
        return cls(
            spec=DatasetSpec(**{**spec, "knowledge": Knowledge(spec["knowledge"])}),
            schema_fingerprint=document["schema_fingerprint"],
            join_keys=tuple(document["join_keys"]),
            features=tuple(Field(name, Dtype(dtype)) for name, dtype in document["features"]),
            n_rows=document["n_rows"],
            entity_rows_hash=document["entity_rows_hash"],
            result_hash=document["result_hash"],
            versions=document["versions"],
        )


def status_of(feature: str) -> str:
    """Return the column that holds a feature's status."""
    return f"{feature}__status"


def event_timestamp_of(feature: str) -> str:
    """Return the column that holds the event timestamp of a feature's row."""
    return f"{feature}__event_timestamp"
