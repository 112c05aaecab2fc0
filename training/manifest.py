"""What a training dataset was made from, as plain data: the same inputs give the same manifest.

There is no wall clock and no folder of a machine in it, so that building again can be compared byte
by byte.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from dataclasses import dataclass
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.errors import FormatVersionError, TrainingError
from evenstore.schema.model import Field
from evenstore.semantics import Knowledge

__all__ = [
    "MANIFEST_VERSION",
    "CreatedTimestamps",
    "DatasetSpec",
    "Manifest",
    "SourceFile",
    "ViewOrigin",
    "created_timestamp_of",
    "event_timestamp_of",
    "status_of",
]

MANIFEST_VERSION = 2

# They came later: a dataset of a service that declares none has the manifest it always had.
_ABSENT_WHEN_EMPTY = ("defaults", "max_stale_us")


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What to build: the feature service, the knowledge mode and the roles of columns.

    Attributes:
        feature_service: Name in the registry.
        knowledge: Which feature rows an entity row may know of.
        label: Column of the entity rows that a model shall predict; None for rows to score.
        event_timestamp_column: Column with the as-of instant of each entity row.
        label_timestamp_column: Column with the instant at which the label was known, or None where
            the entity rows do not say.
    """

    feature_service: str
    knowledge: Knowledge
    label: str | None = None
    event_timestamp_column: str = "event_timestamp"
    label_timestamp_column: str | None = None


class CreatedTimestamps(enum.Enum):
    """What a source's created timestamps did to a view's rows."""

    APPLIED = "applied"
    """As known: rows created after an entity row's instant were not used for it."""

    ABSENT = "absent"
    """The source has none: the knowledge mode changes nothing for this view."""

    IGNORED = "ignored"
    """Latest truth: rows count whenever they were created."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a view's source.

    Attributes:
        path: Relative to the feature repo where both share a folder, else absolute.
        n_bytes: Its size; None where the content cannot be pinned.
        sha256: Of its content, 64 hexadecimal digits; None where the content cannot be pinned.
    """

    path: str
    n_bytes: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class ViewOrigin:
    """What one view's features were read from.

    Attributes:
        name: The view's name, or the alias it was asked for by.
        schema_fingerprint: Of the view: names, types, join keys, ttl.
        source_fingerprint: Of what its columns and timestamps are called in the source.
        created_timestamps: What they did.
        n_created_nulls: Rows of the source without a created timestamp, which as-known mode leaves
            out; None where the mode or the source has no use for them.
        files: In the order of their paths.
    """

    name: str
    schema_fingerprint: str
    source_fingerprint: str
    created_timestamps: CreatedTimestamps
    n_created_nulls: int | None
    files: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The proof of a training dataset's origin.

    Attributes:
        spec: What was asked for.
        registry_fingerprint: Of all that the project's registry defines.
        schema_fingerprint: Of the resolved feature service.
        join_keys: Entity columns; never features of a model.
        features: Output columns `view__feature` with their declared types, in service order.
        views: What was read, in service order.
        n_rows: Entity rows, and rows of the dataset.
        entity_rows_hash: Value hash of the entity rows as they were joined.
        result_hash: Value hash of the whole dataset.
        versions: Of Python and the libraries that took part.
        defaults: The service's declared defaults, which stand where a value is null: output column
            and JSON text, in service order.
        max_stale_us: How much older than its view's ttl a value may be and still be given.
    """

    spec: DatasetSpec
    registry_fingerprint: str
    schema_fingerprint: str
    join_keys: tuple[str, ...]
    features: tuple[Field, ...]
    views: tuple[ViewOrigin, ...]
    n_rows: int
    entity_rows_hash: str
    result_hash: str
    versions: dict[str, str]
    defaults: tuple[tuple[str, str], ...] = ()
    max_stale_us: int = 0

    @property
    def unaffected_views(self) -> tuple[str, ...]:
        """Views whose sources have no created timestamps: both knowledge modes give the same."""
        return tuple(
            view.name for view in self.views if view.created_timestamps is CreatedTimestamps.ABSENT
        )

    @property
    def unverifiable(self) -> tuple[str, ...]:
        """Views with a file whose content is not pinned: a change of it would not be noticed."""
        return tuple(
            view.name for view in self.views if any(file.sha256 is None for file in view.files)
        )

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
        document["defaults"] = [list(default) for default in self.defaults]
        for view in document["views"]:
            view["created_timestamps"] = view["created_timestamps"].value
        for name in _ABSENT_WHEN_EMPTY:
            if not document[name]:
                del document[name]
        # For readers of the text; from_json has it from the files.
        document["unverifiable"] = list(self.unverifiable)
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
            registry_fingerprint=document["registry_fingerprint"],
            schema_fingerprint=document["schema_fingerprint"],
            join_keys=tuple(document["join_keys"]),
            features=tuple(Field(name, Dtype(dtype)) for name, dtype in document["features"]),
            views=tuple(_view(view) for view in document["views"]),
            n_rows=document["n_rows"],
            entity_rows_hash=document["entity_rows_hash"],
            result_hash=document["result_hash"],
            versions=document["versions"],
            defaults=tuple((column, text) for column, text in document.get("defaults", [])),
            max_stale_us=document.get("max_stale_us", 0),
        )


def status_of(feature: str) -> str:
    """Return the column that holds a feature's status."""
    return f"{feature}__status"


def event_timestamp_of(feature: str) -> str:
    """Return the column that holds the event timestamp of a feature's row."""
    return f"{feature}__event_timestamp"


def created_timestamp_of(view: str) -> str:
    """Return the column in which a join gives when a view's rows were created, if it does."""
    return f"{view}__created_timestamp"


def _view(document: dict[str, Any]) -> ViewOrigin:
    created = CreatedTimestamps(document["created_timestamps"])
    files = tuple(SourceFile(**file) for file in document["files"])
    return ViewOrigin(**{**document, "created_timestamps": created, "files": files})
