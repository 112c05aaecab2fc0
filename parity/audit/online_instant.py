"""The instant that an online store answers for.

A stock store gives what it holds, whatever the time. evenstore's judges ttl, and what is from the
future, by a clock that it takes from its environment when it is opened: for an audit that is the
audit's own instant, or the two sides would answer for different ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from feast import FeatureStore

from evenstore.clock import format_us
from evenstore.online.store import RedisOnlineStoreConfig

__all__ = ["open_online_store"]


def open_online_store(store: FeatureStore, as_of_us: int) -> None:
    """Open a repo's online store, so that it answers for an instant where it goes by one.

    A row that is later than the instant makes evenstore's refuse to answer: it keeps the newest row
    alone and cannot tell what it had before.

    Args:
        store: The feature store; nothing was read from it yet.
        as_of_us: The instant.
    """
    if not isinstance(store.config.online_store, RedisOnlineStoreConfig):
        return
    frozen = {"EVENSTORE_TEST_MODE": "1", "EVENSTORE_FROZEN_TIME": format_us(as_of_us)}
    with _environment(frozen):
        _ = store._get_provider().online_store  # noqa: SLF001 - Feast opens it at its first use.


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
