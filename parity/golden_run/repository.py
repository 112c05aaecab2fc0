"""The repo that a golden set is run on: opened once, checked against the set."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from feast import FeatureStore

from evenstore.errors import ConfigurationError, ParityError, SchemaDriftError
from evenstore.offline.retry import list_again
from evenstore.redis_server import embedded_redis, resolve_connection
from evenstore.schema.compile import compile_store
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, RegistrySchema
from evenstore.schema.repository import open_repository
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.schema.source import open_source
from parity.golden_set.golden_file import GoldenFile

__all__ = ["GoldenRepo", "open_golden_repo"]


@dataclass(frozen=True, slots=True)
class GoldenRepo:
    """A repo and what a golden set asks of it.

    Attributes:
        path: Its folder.
        store: Feast's view of it.
        registry: As compiled.
        request: The golden set's feature service.
    """

    path: Path
    store: FeatureStore
    registry: RegistrySchema
    request: FeatureRequest

    @contextmanager
    def redis_url(self, own_home: Path | None) -> Iterator[str]:
        """Give the URL of the repo's Redis, or of one of its own that runs for the block.

        Args:
            own_home: Folder of the Redis to start; None to use the repo's.

        Raises:
            ConfigurationError: The repo's online store is not in Redis.
            OnlineStoreUnavailableError: The repo's is the embedded Redis, and none runs.
        """
        if own_home is not None:
            # Without the variable that names a server: this one must be nobody else's.
            with embedded_redis(own_home, environ={}) as server:
                yield server.url
            return
        named = getattr(self.store.config.online_store, "connection_string", None)
        if not isinstance(named, str):
            msg = "`online_store` in feature_store.yaml is not in Redis"
            raise ConfigurationError(msg, hint="run with --own-redis")
        yield resolve_connection(named, self.path)

    def open_source(self, view: FeatureViewSchema) -> SourceFiles:
        """List a view's files as they are now.

        Raises:
            SourceUnavailableError: A file is missing or cannot be read.
        """
        views = [*self.store.list_feature_views(), *self.store.list_stream_feature_views()]
        found = next(item for item in views if item.name == view.name)
        return list_again(functools.partial(open_source, found, view, self.path))


def open_golden_repo(path: Path, golden: GoldenFile) -> GoldenRepo:
    """Open a repo and check that it defines what a golden set was built for.

    Raises:
        ConfigurationError: The folder is no Feast repo that was applied.
        UnknownFeatureServiceError: It has no such service.
        ParityError: It is another project.
        SchemaDriftError: The service's features are defined otherwise now.
    """
    store = open_repository(path)
    if store.project != golden.project:
        msg = f"the golden set is of project `{golden.project}`, the repo is `{store.project}`"
        raise ParityError(msg, hint="name the repo that the golden set was built for")
    registry = compile_store(store)
    request = resolve_service(registry, golden.feature_service)
    if request.fingerprint != golden.schema_fingerprint:
        msg = (
            f"`{request.name}` has schema {request.fingerprint}, "
            f"the golden set was built for {golden.schema_fingerprint}"
        )
        raise SchemaDriftError(
            msg, hint="if the change is meant, build the golden set anew and review what differs"
        )
    return GoldenRepo(path, store, registry, request)
