"""Removes stored features that their view has no more, so that a name added again starts empty.

Writers register the schema of what they write (`row_schemas`). A registered schema with a feature
that its view no longer has, or has with another type, says that there may be bytes to remove.

A writer that still has the old definition may go on for a while. Its packed rows must stay readable
without the feature, so the schema is kept with no name in the feature's place (settled): no reader
finds it. Where a view comes to have just these features again, such rows are rid of it first. The
schema is settled, or forgotten where rows name none, last: what is killed before is done again by
the next apply.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import redis

from evenstore.codec.feast_fields import value_tag
from evenstore.codec.feast_row import feature_field
from evenstore.codec.packed_row import RowSchema
from evenstore.codec.packed_subset import PackedSubset
from evenstore.errors import CorruptRowError
from evenstore.online.connection import execute
from evenstore.online.key_scan import scan_view_keys
from evenstore.online.loads import forget_loads
from evenstore.online.purge import forget_schemas, schema_fingerprint
from evenstore.online.row_edits import clear_fields, remove_field, replace_rows
from evenstore.online.row_schemas import register_schema_command, schemas_key
from evenstore.online.stored_rows import StoredRow, scan_rows
from evenstore.progress import NullProgress, Progress
from evenstore.schema.model import FeatureViewSchema, Field, Layout

__all__ = ["StaleSchemas", "find_stale_schemas", "remove_features"]

# No feature has this name.
_NOBODY = ""


@dataclass(frozen=True, slots=True)
class StaleSchemas:
    """Stored schemas of one view with features that it has no more.

    Attributes:
        view: The view as it is now.
        by_field: The schemas, by their field in the hash of schemas.
    """

    view: FeatureViewSchema
    by_field: Mapping[bytes, RowSchema]

    @property
    def gone(self) -> tuple[Field, ...]:
        """The features, by name."""
        found = {f for schema in self.by_field.values() for f in _gone(schema, self.view)}
        return tuple(sorted(found, key=lambda field: (field.name, field.dtype.value)))


def find_stale_schemas(
    views: Sequence[FeatureViewSchema],
    schemas: Mapping[str, Mapping[bytes, RowSchema]],
    *,
    stored: Collection[bytes] = (),
) -> list[StaleSchemas]:
    """Find the views that rows are stored of with features they have no more.

    Args:
        views: The views as they are now.
        schemas: The stored schemas.
        stored: Fingerprints that rows are known to have: settled schemas among them count too.
    """
    found = []
    for view in views:
        current = RowSchema.of(view.features).fingerprint
        stale = {
            field: schema
            for field, schema in schemas.get(view.name, {}).items()
            if _gone(schema, view)
            or (_is_settled(schema) and schema_fingerprint(field) in {current, *stored})
        }
        if stale:
            found.append(StaleSchemas(view, stale))
    return found


def _gone(schema: RowSchema, view: FeatureViewSchema) -> list[Field]:
    return [f for f in schema.features if f.name != _NOBODY and f not in view.features]


def _is_settled(schema: RowSchema) -> bool:
    return any(field.name == _NOBODY for field in schema.features)


def _settle(schema: RowSchema, view: FeatureViewSchema) -> RowSchema:
    kept = frozenset(view.features)
    return RowSchema(tuple(f if f in kept else Field(_NOBODY, f.dtype) for f in schema.features))


def remove_features(
    client: redis.Redis,
    project: str,
    stale: StaleSchemas,
    layout: Layout,
    *,
    progress: Progress | None = None,
) -> int:
    """Remove the features of one view that are gone from all its stored rows.

    Args:
        client: Redis.
        project: The Feast project.
        stale: What to remove.
        layout: How rows lie in Redis.
        progress: Where to count the entities looked at.

    Returns:
        How many rows (packed) or values (in hashes) were changed.

    Raises:
        OnlineStoreError: Redis refused or cannot be reached.
    """
    shown = progress or NullProgress()
    # Killed before the registry knows, the definition may stay as it was.
    forget_loads(client, project, [stale.view.name])
    if layout is Layout.PACKED:
        return _remove_from_strings(client, project, stale, shown)
    n_values = _remove_from_hashes(client, project, stale, shown)
    forget_schemas(client, project, list(stale.by_field))
    return n_values


def _remove_from_strings(
    client: redis.Redis, project: str, stale: StaleSchemas, progress: Progress
) -> int:
    view = stale.view
    subsets = {
        schema_fingerprint(field): PackedSubset(schema, view.features)
        for field, schema in stale.by_field.items()
    }
    # Before the first row that names them.
    reduced = {subset.schema.fingerprint: subset.schema for subset in subsets.values()}
    execute(client, [_register(project, view, schema) for schema in reduced.values()])
    n_changed = 0
    for batch in scan_rows(client, project, view, Layout.PACKED):
        n_changed += replace_rows(client, view.name, *_take_subsets(batch.rows, subsets))
        progress.advance(batch.n_keys)
    current = RowSchema.of(view.features)
    for field, schema in stale.by_field.items():
        is_current = schema_fingerprint(field) == current.fingerprint
        text = (current if is_current else _settle(schema, view)).to_json().encode()
        execute(client, [(b"HSET", schemas_key(project), field, text)])
    return n_changed


def _take_subsets(
    rows: Sequence[StoredRow], subsets: Mapping[bytes, PackedSubset]
) -> tuple[list[StoredRow], list[bytes]]:
    kept, replacements = [], []
    for row in rows:
        subset = subsets.get(row.fingerprint)
        if subset is None:
            continue
        try:
            replacements.append(subset.take(row.content))
        except CorruptRowError:
            continue  # No reader can read it either; the next run writes it anew.
        kept.append(row)
    return kept, replacements


def _register(project: str, view: FeatureViewSchema, schema: RowSchema) -> tuple[bytes, ...]:
    older = FeatureViewSchema(view.name, view.join_keys, schema.features, view.ttl_us)
    return register_schema_command(project, older)


def _remove_from_hashes(
    client: redis.Redis, project: str, stale: StaleSchemas, progress: Progress
) -> int:
    view = stale.view
    names = {field.name for field in stale.gone}
    fields = [feature_field(view.name, name) for name in names if view.feature(name) is None]
    retyped = [_Retyped.of(field, stale) for field in view.features if field.name in names]
    n_changed = 0
    for keys in scan_view_keys(client, project, view, Layout.FEAST):
        if keys:
            n_changed += clear_fields(client, keys, fields)
            n_changed += sum(feature.remove(client, view.name, keys) for feature in retyped)
            progress.advance(len(keys))
    return n_changed


@dataclass(frozen=True, slots=True)
class _Retyped:
    """A feature with another type than before.

    Attributes:
        feature: As it is now.
        new_tag: What its values begin with now; None where those of the old type do too.
    """

    feature: Field
    new_tag: bytes | None

    @staticmethod
    def of(feature: Field, stale: StaleSchemas) -> _Retyped:
        tag = value_tag(feature.dtype)
        old_tags = {value_tag(old.dtype) for old in stale.gone if old.name == feature.name}
        return _Retyped(feature, None if tag in old_tags else tag)

    def remove(self, client: redis.Redis, view_name: str, keys: Sequence[bytes]) -> int:
        """Remove values of the old type; a null has no type and stays."""
        field = feature_field(view_name, self.feature.name)
        values = execute(client, [(b"HGET", key, field) for key in keys])
        seen = {
            key: value
            for key, value in zip(keys, values, strict=True)
            if isinstance(value, bytes) and self._is_old(value)
        }
        return remove_field(client, view_name, self.feature, list(seen), list(seen.values()))

    def _is_old(self, value: bytes) -> bool:
        return bool(value) and (self.new_tag is None or not value.startswith(self.new_tag))
