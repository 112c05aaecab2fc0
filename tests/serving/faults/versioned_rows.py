"""Rows that say whose they are and how new, a writer that keeps renewing them, and their judge.

Every value of an entity's row follows from its key and the row's version, and versions only grow.
So an answer shows by itself whether it mixes entities, views or versions, and what a reader saw or
a writer was told of bounds what later answers may show.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
from feast import Entity, FeatureService, FeatureStore
from feast.types import Int64, String
from feast.value_type import ValueType
from typing_extensions import override

from evenstore.errors import EvenstoreError
from evenstore.schema.compile import compile_store
from evenstore.schema.model import RegistrySchema
from tests.serving.faults.answers import Cell
from tests.support.feast_repo import FeastRepo

__all__ = ["KEYS", "Floors", "Versions", "Writer", "apply_service", "check_rows", "make_repo"]

KEYS = range(1, 25)
_VIEWS = ("pushed", "loaded")
_LOAD_EVERY = 12
_BASE = datetime.now(tz=UTC).replace(microsecond=0) - timedelta(hours=6)

Floors = dict[tuple[str, int], int]


@dataclass(slots=True)
class Versions:
    """What is known of the versions in Redis, by view."""

    begun: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_VIEWS, 0))
    written: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_VIEWS, 0))
    seen: Floors = field(default_factory=dict)

    def floors(self, keys: Sequence[int]) -> Floors:
        """Return what a request that begins now must find at least."""
        return {
            (view, key): max(self.written[view], self.seen.get((view, key), 0))
            for view in _VIEWS
            for key in keys
        }

    def note(self, view: str, key: int, version: int) -> None:
        self.seen[view, key] = max(version, self.seen.get((view, key), 0))


def make_repo(folder: Path, redis_url: str) -> FeastRepo:
    """Apply two views of one entity."""
    repo = FeastRepo(folder, redis_url=redis_url)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    views = [
        repo.view(
            view,
            [customer],
            {
                "customer_id": Int64,
                f"{view}_key": Int64,
                f"{view}_version": Int64,
                f"{view}_text": String,
            },
            ttl=timedelta(days=1),
        )
        for view in _VIEWS
    ]
    for view in _VIEWS:
        repo.write_rows(view, _rows(view, 0), file="0.parquet")
    repo.apply(customer, *views)
    return repo


def apply_service(repo: FeastRepo, *, with_text: bool) -> RegistrySchema:
    """Apply the service in one of two forms, and compile what workers read."""
    store = repo.store()
    views = [store.get_feature_view(view) for view in _VIEWS]
    features = [
        view if with_text else view[[f"{view.name}_key", f"{view.name}_version"]] for view in views
    ]
    store.apply([FeatureService(name="both", features=features)])
    return compile_store(repo.store())


class Writer(threading.Thread):
    """Pushes one view and materializes the other in a loop, again where Redis failed."""

    def __init__(self, repo: FeastRepo, versions: Versions) -> None:
        super().__init__(name="writer", daemon=True)
        self._repo = repo
        self._store = repo.store()
        self._versions = versions
        self._stopping = threading.Event()
        self.n_failures = 0
        self.broken: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=300)
        assert not self.is_alive()

    @override
    def run(self) -> None:
        version = 0
        try:
            while not self._stopping.wait(0.02):
                version += 1
                self._until_done("pushed", version)
                if version % _LOAD_EVERY == 1:
                    self._until_done("loaded", version)
        except BaseException as exc:
            self.broken = exc
            raise

    def _until_done(self, view: str, version: int) -> None:
        self._versions.begun[view] = version
        while not self._stopping.is_set():
            try:
                self._push(version) if view == "pushed" else self._load(version)
            except EvenstoreError:
                self.n_failures += 1
                self._stopping.wait(0.05)
            else:
                self._versions.written[view] = version
                return

    def _push(self, version: int) -> None:
        rows: pd.DataFrame = _rows("pushed", version).to_pandas()
        self._store.write_to_online_store("pushed", rows)

    def _load(self, version: int) -> None:
        # Files of a source are immutable: the new one comes, then the old one goes.
        new = self._repo.write_rows("loaded", _rows("loaded", version), file=f"{version}.parquet")
        for old in new.parent.glob("*.parquet"):
            if old != new:
                old.unlink()
        store: FeatureStore = self._repo.store()
        store.materialize(_BASE - timedelta(days=1), _instant(version), ["loaded"])


def check_rows(
    rows: Sequence[dict[str, Cell]], keys: Sequence[int], versions: Versions, floors: Floors
) -> None:
    """Fail unless every value is its entity's, of one version, and not older than known."""
    for key, cells in zip(keys, rows, strict=True):
        for view in _VIEWS:
            own = {name: cell for name, cell in cells.items() if name.startswith(view)}
            values = {name: value for name, (value, _, _) in own.items()}
            where = f"{view} of {key}: {own}"
            assert {status for _, status, _ in own.values()} == {"PRESENT"}, where
            version = values[f"{view}_version"]
            expected = {f"{view}_key": key, f"{view}_version": version}
            if f"{view}_text" in own:
                expected[f"{view}_text"] = _text(view, key, version)
            assert values == expected, where
            assert {instant for _, _, instant in own.values()} == {_instant(version)}, where
            assert floors[view, key] <= version <= versions.begun[view], (where, floors[view, key])
            versions.note(view, key, version)


def _rows(view: str, version: int) -> pa.Table:
    return pa.table(
        {
            "customer_id": list(KEYS),
            f"{view}_key": list(KEYS),
            f"{view}_version": [version] * len(KEYS),
            f"{view}_text": [_text(view, key, version) for key in KEYS],
            "event_timestamp": [_instant(version)] * len(KEYS),
            "created": [_instant(version)] * len(KEYS),
        }
    )


def _text(view: str, key: int, version: int) -> str:
    # Of many lengths, so that a slip in the bytes does not go unseen.
    return f"{view}:{key}:{version}:" + "x" * (7 * key + version % 5)


def _instant(version: int) -> datetime:
    return _BASE + timedelta(seconds=version)
