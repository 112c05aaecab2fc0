"""What changed since a dataset was built, and whether the same inputs still give the same values.

Without a rebuild only fingerprints and hashes are compared, which shows that a dataset *could* be
built again. With one the join runs again and its value hash decides: other versions of the
libraries, or files that were added and do not matter, then change nothing.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenstore.errors import (
    ConfigurationError,
    EntityRowsError,
    SchemaError,
    SourceUnavailableError,
)
from evenstore.progress import Progress
from evenstore.schema.request import FeatureRequest, ViewRead, resolve_service
from training.dataset_file import DatasetFile
from training.entity_rows import EntityRowsSource, check_entity_rows, read_entity_rows
from training.join import JoinRun, Repository, current_versions, open_join, open_store
from training.manifest import Manifest, SourceFile, ViewOrigin
from training.sources import PinnedFile, hash_files, pin_files, pin_view
from training.value_hash import hash_table

if TYPE_CHECKING:
    import feast

__all__ = ["Change", "ChangeKind", "Verification", "verify_file", "verify_manifest"]


class ChangeKind(enum.Enum):
    """What is not as the manifest states it; what cannot be read or joined any more is not."""

    REGISTRY = "registry"
    """Something in the project's registry, perhaps nothing that the dataset uses."""

    FEATURE_SERVICE = "feature service"
    """The resolved service: names, types, order, ttl, on-demand code."""

    VIEW = "view"
    """A view's schema."""

    SOURCE = "source"
    """What a view's columns and timestamps are called in its source, or it cannot be read."""

    FILE_ADDED = "source file added"
    FILE_REMOVED = "source file removed"
    FILE_CHANGED = "source file changed"

    ENTITY_ROWS = "entity rows"

    VERSION = "version"
    """Of Python or a library."""

    RESULT = "result"
    """The values of the dataset's file, or of the dataset that was built again."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as the manifest states it.

    Attributes:
        kind: What it is.
        name: Which one, such as `activity: data/2026-01-01.parquet`.
        was: What the manifest states; None where it states nothing.
        now: What is there; None where there is nothing.
    """

    kind: ChangeKind
    name: str
    was: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification.

    Attributes:
        changes: All that differs, in the order: versions, registry, service, views, files, entity
            rows, result.
        unverifiable: Views with files whose content the manifest could not pin.
        n_files: Source files that were compared.
        has_entity_rows: Whether entity rows were compared.
        is_reproduced: Whether building again gave equal values; None where it was not asked for.
    """

    changes: tuple[Change, ...]
    unverifiable: tuple[str, ...]
    n_files: int
    has_entity_rows: bool
    is_reproduced: bool | None

    @property
    def is_proven(self) -> bool:
        """Whether the dataset is what its inputs give: nothing changed, or equal when rebuilt."""
        if self.is_reproduced is None:
            return not self.changes
        return self.is_reproduced and all(
            change.kind is not ChangeKind.RESULT for change in self.changes
        )

    def to_document(self) -> dict[str, Any]:
        """Return the result as what JSON can hold."""
        document = dataclasses.asdict(self)
        for change in document["changes"]:
            change["kind"] = change["kind"].value
        document["is_proven"] = self.is_proven
        return document


def verify_manifest(
    manifest: Manifest,
    *,
    repo: Repository,
    entity_rows: EntityRowsSource | None = None,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Compare what a dataset was made from with what is there now.

    Args:
        manifest: Of the dataset.
        repo: The folder of the Feast feature repo, or an opened feature store.
        entity_rows: What the dataset was built from; without them they are not compared.
        rebuild: Join again, without keeping the result, and compare the value hash.
        progress: Told of every row that is joined again.

    Raises:
        ConfigurationError: There is no feature repo or no file of entity rows, or a rebuild is
            asked for without entity rows.
    """
    if rebuild and entity_rows is None:
        msg = "without entity rows there is nothing to build again"
        raise ConfigurationError(msg, hint="give the entity rows that the dataset was built from")
    store = open_store(repo)
    comparison = _Comparison(manifest, store)
    comparison.compare_versions()
    comparison.compare_definitions()
    if entity_rows is not None:
        comparison.compare_entity_rows(entity_rows)
    is_reproduced = None
    if rebuild and entity_rows is not None:
        is_reproduced = comparison.rebuild(entity_rows, progress)
    return Verification(
        changes=tuple(comparison.changes),
        unverifiable=manifest.unverifiable,
        n_files=comparison.n_files,
        has_entity_rows=entity_rows is not None,
        is_reproduced=is_reproduced,
    )


def verify_file(
    path: Path,
    *,
    repo: Repository,
    entity_rows: EntityRowsSource | None = None,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Compare a dataset's file with its manifest, and the manifest with what is there now.

    Args:
        path: A dataset's Parquet file, or a manifest alone in a file that ends in `.json`.
        repo: As in `verify_manifest`.
        entity_rows: As in `verify_manifest`; without them those in the dataset's file are taken.
        rebuild: As in `verify_manifest`.
        progress: As in `verify_manifest`.

    Raises:
        ConfigurationError: As `verify_manifest`; or the file cannot be read.
        FormatVersionError: The manifest was written by a version with another form.
        TrainingError: The file is no dataset and no manifest.
    """
    if path.suffix == ".json":
        manifest = _read_manifest(path)
        return verify_manifest(
            manifest, repo=repo, entity_rows=entity_rows, rebuild=rebuild, progress=progress
        )
    file = DatasetFile(path)
    result_hash = file.hash_values()
    verification = verify_manifest(
        file.manifest,
        repo=repo,
        entity_rows=file.read_entity_rows() if entity_rows is None else entity_rows,
        rebuild=rebuild,
        progress=progress,
    )
    of_file = _differs(ChangeKind.RESULT, str(path), file.manifest.result_hash, result_hash)
    return dataclasses.replace(verification, changes=(*verification.changes, *of_file))


class _Comparison:
    """Collects what differs between a manifest and a feature repo."""

    def __init__(self, manifest: Manifest, store: feast.FeatureStore) -> None:
        self._manifest = manifest
        self._store = store
        self._request: FeatureRequest | None = None
        self.changes: list[Change] = []
        self.n_files = 0

    def compare_versions(self) -> None:
        """Compare the versions of Python and the libraries."""
        was, now = self._manifest.versions, current_versions()
        for name in sorted(was | now):
            self._note(ChangeKind.VERSION, name, was.get(name), now.get(name))

    def compare_definitions(self) -> None:
        """Compare the registry, the feature service, and each view with its files."""
        from evenstore.schema.compile import compile_store

        manifest, service = self._manifest, self._manifest.spec.feature_service
        registry = compile_store(self._store)
        self._note(
            ChangeKind.REGISTRY,
            registry.project,
            manifest.registry_fingerprint,
            registry.fingerprint,
        )
        try:
            self._request = resolve_service(registry, service)
        except SchemaError as exc:
            now = f"cannot be resolved: {exc.message}"
            self._note(ChangeKind.FEATURE_SERVICE, service, manifest.schema_fingerprint, now)
            return
        self._note(
            ChangeKind.FEATURE_SERVICE,
            service,
            manifest.schema_fingerprint,
            self._request.fingerprint,
        )
        reads = {read.output_name: read for read in self._request.reads}
        views = {view.name: view for view in manifest.views}
        for name in views | reads:
            self._compare_view(name, views.get(name), reads.get(name))

    def compare_entity_rows(self, entity_rows: EntityRowsSource) -> None:
        """Compare the entity rows, typed as the service wants them."""
        if self._request is None:
            return
        was = self._manifest.entity_rows_hash
        rows = read_entity_rows(entity_rows)
        try:
            now = hash_table(check_entity_rows(rows, self._request, self._manifest.spec))
        except EntityRowsError as exc:
            now = f"cannot be joined: {exc.message}"
        self._note(ChangeKind.ENTITY_ROWS, "entity rows", was, now)

    def rebuild(self, entity_rows: EntityRowsSource, progress: Progress | None) -> bool:
        """Join again, and tell whether the values are equal."""
        was = self._manifest.result_hash
        try:
            run = JoinRun(open_join(entity_rows, self._store, self._manifest.spec), progress)
            for _ in run:
                pass
            now = run.result_hash
        except (SchemaError, EntityRowsError, SourceUnavailableError) as exc:
            now = f"cannot be built again: {exc.message}"
        self._note(ChangeKind.RESULT, "built again", was, now)
        return was == now

    def _compare_view(self, name: str, was: ViewOrigin | None, read: ViewRead | None) -> None:
        now = None if read is None else read.view.fingerprint
        self._note(ChangeKind.VIEW, name, None if was is None else was.schema_fingerprint, now)
        if was is None or read is None:
            return
        source = _open_source(self._store, read)
        self._note(ChangeKind.SOURCE, name, was.source_fingerprint, source.fingerprint)
        old = {file.path: file for file in was.files}
        new = _states_of(source.files)
        self.n_files += len(old | new)
        for path in sorted(old | new):
            kind = ChangeKind.FILE_CHANGED
            if path not in old:
                kind = ChangeKind.FILE_ADDED
            elif path not in new:
                kind = ChangeKind.FILE_REMOVED
            self._note(kind, f"{name}: {path}", _describe(old.get(path)), new.get(path))

    def _note(self, kind: ChangeKind, name: str, was: str | None, now: str | None) -> None:
        self.changes += _differs(kind, name, was, now)


@dataclass(frozen=True, slots=True)
class _Source:
    """What is there of a view's source: its fingerprint, or why there is none, and its files."""

    fingerprint: str
    files: tuple[PinnedFile, ...]


def _open_source(store: feast.FeatureStore, read: ViewRead) -> _Source:
    from evenstore.schema.source import batch_source, find_files, open_source

    repo = Path(store.repo_path)
    views = [*store.list_feature_views(), *store.list_stream_feature_views()]
    view = next(view for view in views if view.name == read.view.name)
    try:
        pinned = pin_view(read, open_source(view, read.view, repo), repo)
    except (SchemaError, SourceUnavailableError) as exc:
        fingerprint = f"cannot be opened: {exc.message}"
    else:
        return _Source(pinned.source_fingerprint, pinned.files)
    try:
        return _Source(fingerprint, pin_files(find_files(batch_source(view), repo), repo))
    except SourceUnavailableError:
        return _Source(fingerprint, ())


def _differs(kind: ChangeKind, name: str, was: str | None, now: str | None) -> tuple[Change, ...]:
    return () if was == now else (Change(kind, name, was, now),)


def _states_of(files: tuple[PinnedFile, ...]) -> dict[str, str | None]:
    try:
        return {file.path: _describe(file) for file in hash_files(files).values()}
    except SourceUnavailableError as exc:
        if len(files) == 1:
            return {files[0].name: exc.message}
    states: dict[str, str | None] = {}
    for file in files:
        states |= _states_of((file,))
    return states


def _describe(file: SourceFile | None) -> str | None:
    if file is None:
        return None
    if file.sha256 is None:
        return "content unknown"
    return f"{file.n_bytes:,} bytes, sha256 {file.sha256}"


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError as exc:
        msg = f"there is no manifest: `{path}`"
        raise ConfigurationError(
            msg, hint="`evenstore-train dataset --manifest` writes one"
        ) from exc
    except OSError as exc:
        msg = f"`{path}` cannot be read: {exc.strerror or exc}"
        raise ConfigurationError(msg, hint="give a dataset or its manifest") from exc
