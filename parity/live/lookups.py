"""Lookups asked with as little of this machine as can be, so that the gateway is never waited for.

The request's body is that of `evenstore.client`, and so are the answers that are made of it. Only
the way there is shorter: requests are sent ahead over plain connections, so that the gateway has
the next ones while this process reads an answer, in one thread, column by column. Whatever is no
plain answer (an error, a lost connection, https) is left to `evenstore.client`, with its retries,
deadlines and messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from evenstore.client.answers import OnlineFeatures
from evenstore.client.http import FeatureClient
from evenstore.client.protocol import encode_request
from evenstore.client.settings import open_settings, request_headers
from parity.live.connection import Connection, Target
from parity.live.lookup_answer import read_answer

__all__ = ["Answered", "Lookups", "encode_lookup"]

_PATH = "/get-online-features"
_TIMEOUT_S = 5.0
# They are sent as they are.
_PLAIN = frozenset({int, str, bool, type(None)})

Answered = Callable[[], OnlineFeatures]
"""Waits for the answer of a request that is sent; raises what the client raises."""


class Lookups:
    """Looks entity rows up in a gateway; to be used by one thread, as a context.

    Args:
        client: Asks whatever cannot be asked the short way.
        base_url: The gateway's; None to leave all to the client.
        feature_service: What to look up.
        n_ahead: How many requests are under way at once.
    """

    def __init__(
        self, client: FeatureClient, base_url: str | None, feature_service: str, *, n_ahead: int
    ) -> None:
        self._client = client
        self._feature_service = feature_service
        self._threads = ThreadPoolExecutor(n_ahead, thread_name_prefix="evenstore-lookup")
        self._way = None if base_url is None else _find_way(base_url)
        self._connections: list[Connection] = []
        self._idle: list[Connection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()

    def send(self, entities: Mapping[str, Sequence[object]]) -> Answered:
        """Send a request, and return what waits for its answer.

        Args:
            entities: One column per join key and per request field, equally long.

        Raises:
            EntityRowsError: A value cannot be sent.
        """
        connection = self._send_shortly(entities)
        if connection is None:
            return self._threads.submit(self._ask_client, entities).result

        def answered() -> OnlineFeatures:
            reply = connection.receive()
            if reply is None:
                connection.close()
                return self._ask_client(entities)
            self._idle.append(connection)
            return read_answer(reply.body, reply.headers)

        return answered

    def _send_shortly(self, entities: Mapping[str, Sequence[object]]) -> Connection | None:
        if self._way is None:
            return None
        body = encode_lookup(entities, self._feature_service)
        connection = self._idle.pop() if self._idle else self._connect(self._way)
        return connection if connection.send(body) else None

    def _connect(self, target: Target) -> Connection:
        connection = Connection(target)
        self._connections.append(connection)
        return connection

    def _ask_client(self, entities: Mapping[str, Sequence[object]]) -> OnlineFeatures:
        return self._client.get_online_features(
            entities=entities, feature_service=self._feature_service, full_feature_names=True
        )


def encode_lookup(entities: Mapping[str, Sequence[object]], feature_service: str) -> bytes:
    """Render a lookup as `encode_request` does, which looks at each value."""
    if all(_PLAIN.issuperset(map(type, values)) for values in entities.values()):
        body = {
            "feature_service": feature_service,
            "entities": {name: list(values) for name, values in entities.items()},
            "full_feature_names": True,
        }
        return json.dumps(body, separators=(",", ":")).encode()
    return encode_request(
        entities, feature_service=feature_service, features=None, full_feature_names=True
    )


def _find_way(base_url: str) -> Target | None:
    """Return where requests go; None where only the client knows the way."""
    settings = open_settings(
        base_url,
        api_key=None,
        timeout_s=_TIMEOUT_S,
        retries=None,
        max_connections=1,
        ssl_context=None,
    )
    where = urlsplit(settings.base_url)
    if where.scheme != "http" or where.hostname is None:
        return None
    # One id for all requests: a gateway parses a head that it has not seen before.
    headers = {"host": where.netloc, **settings.headers, **request_headers(has_body=True)}
    return Target(where.hostname, where.port or 80, where.path.rstrip("/") + _PATH, headers)
