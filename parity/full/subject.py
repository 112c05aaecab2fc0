"""What a full comparison is about: one view of a repo, its stored rows and its watermark."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
from feast import FeatureStore, FeatureView

from evenstore.compute.watermark import Watermark, read_watermark
from evenstore.errors import ConfigurationError, ParityError, UnknownFeatureError
from evenstore.online.sdk_read import open_view_read
from evenstore.online.store import RedisOnlineStore, RedisOnlineStoreConfig, stored_view
from evenstore.schema.model import Layout
from evenstore.schema.repository import open_repository
from evenstore.schema.request import Column, FeatureRequest, ViewRead
from parity.live.promise import PROMISE_TAG, parse_promise

__all__ = ["Subject", "open_subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One view, opened.

    Attributes:
        store: The feature store.
        table: Feast's view.
        read: The view under its name in the registry, with all its features.
        stored: The same under the name that its rows are stored by.
        client: Redis.
        layout: How rows lie there.
        watermark: Up to where the view is loaded; None where no run is recorded.
    """

    store: FeatureStore
    table: FeatureView
    read: ViewRead
    stored: ViewRead
    client: redis.Redis
    layout: Layout
    watermark: Watermark | None

    @property
    def project(self) -> str:
        """The Feast project."""
        return str(self.store.project)

    @property
    def promise_us(self) -> int | None:
        """How far the view may lag by its own promise; None where it makes none."""
        return parse_promise(self.table.name, (self.table.tags or {}).get(PROMISE_TAG))

    @property
    def request(self) -> FeatureRequest:
        """All features of the view, as one request."""
        return FeatureRequest(
            name=self.table.name,
            entity_columns=self.read.view.join_keys,
            request_fields=(),
            columns=tuple(
                Column(self.read.output_name, field, is_on_demand=False)
                for field in self.read.features
            ),
            reads=(self.read,),
            on_demand=(),
        )


def open_subject(repo: Path, view_name: str) -> Subject:
    """Open a repo and find what is to be compared. Writes nothing.

    Raises:
        ConfigurationError: The folder is no Feast repo, or its online store is not evenstore's.
        UnknownFeatureError: The registry has no such feature view.
        ParityError: The view has nothing that could be compared.
        OnlineStoreError: Redis refused or cannot be reached.
    """
    store = open_repository(repo)
    settings = store.config.online_store
    if not isinstance(settings, RedisOnlineStoreConfig):
        msg = "the online store is not evenstore's: its rows cannot be walked"
        raise ConfigurationError(msg, hint="`evenstore-parity audit` compares other stores")
    table = _find_table(store, view_name)
    stored = stored_view(store.config, table)
    named = dataclasses.replace(stored, name=table.name)
    client = RedisOnlineStore().client(store.config)
    return Subject(
        store=store,
        table=table,
        read=open_view_read(named, [field.name for field in named.features]),
        stored=open_view_read(stored, [field.name for field in stored.features]),
        client=client,
        layout=Layout(settings.layout),
        watermark=read_watermark(client, store.project, stored.name),
    )


def _find_table(store: FeatureStore, view_name: str) -> FeatureView:
    tables: Sequence[FeatureView] = [
        *store.list_feature_views(),
        *store.list_stream_feature_views(),
    ]
    by_name = {table.name: table for table in tables}
    if view_name not in by_name:
        raise UnknownFeatureError([view_name], by_name)
    table = by_name[view_name]
    if table.batch_source is None:
        msg = f"{view_name}: the view has no batch source, so nothing offline to compare with"
        raise ParityError(msg, hint="give its push or stream source a batch source")
    if not table.online:
        msg = f"{view_name}: the view is not served online"
        raise ParityError(msg, hint="full parity is of views with `online=True`")
    return table
