"""The clients: the same lookups, blocking and asynchronous, over pooled connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from evenstore.client.answers import OnlineFeatures, Readiness
from evenstore.client.protocol import (
    JSON_HEADERS,
    ONLINE_FEATURES_PATH,
    READINESS_PATH,
    encode_request,
    parse_online_features,
    parse_readiness,
    raise_for_error,
    unreachable,
)

__all__ = ["AsyncFeatureClient", "FeatureClient"]


class FeatureClient:
    """A blocking client of one gateway; thread-safe, keeps connections until it is closed.

    ```python
    with FeatureClient("http://127.0.0.1:6566") as client:
        features = client.get_online_features(
            feature_service="churn_v1", entities={"customer_id": [17850]}
        )
    ```

    Args:
        base_url: Where the gateway is.
        timeout_s: Longest wait for a connection, and for each part of an answer.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 5.0) -> None:
        self._base_url = base_url
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def get_online_features(
        self,
        *,
        entities: Mapping[str, Sequence[object]],
        feature_service: str | None = None,
        features: Sequence[str] | None = None,
        full_feature_names: bool = False,
    ) -> OnlineFeatures:
        """Look up the features of entity rows, at the instant the gateway receives the request.

        Args:
            entities: One column per join key and per request field, equally long.
            feature_service: What to look up, by the name of a service,
            features: or by references of the form `view:feature`.
            full_feature_names: Name features `view__feature`.

        Raises:
            ConfigurationError: Neither or both of `feature_service` and `features` are given.
            EntityRowsError: A value cannot be sent.
            GatewayError: The gateway refused or failed (`status`, `remote_code`), or gave no answer
                (status 0).
        """
        request = encode_request(
            entities,
            feature_service=feature_service,
            features=features,
            full_feature_names=full_feature_names,
        )
        try:
            response = self._http.post(ONLINE_FEATURES_PATH, content=request, headers=JSON_HEADERS)
        except httpx.TransportError as exc:
            raise unreachable(self._base_url, _reason(exc)) from exc
        raise_for_error(response.status_code, response.content)
        return parse_online_features(response.content, response.headers)

    def readiness(self) -> Readiness:
        """Ask what the gateway serves.

        Raises:
            GatewayError: It is not ready, or gave no answer (status 0).
        """
        try:
            response = self._http.get(READINESS_PATH)
        except httpx.TransportError as exc:
            raise unreachable(self._base_url, _reason(exc)) from exc
        raise_for_error(response.status_code, response.content)
        return parse_readiness(response.content)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()


class AsyncFeatureClient:
    """The asynchronous twin of `FeatureClient`, for one event loop."""

    def __init__(self, base_url: str, *, timeout_s: float = 5.0) -> None:
        self._base_url = base_url
        self._http = httpx.AsyncClient(base_url=base_url, timeout=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def get_online_features(
        self,
        *,
        entities: Mapping[str, Sequence[object]],
        feature_service: str | None = None,
        features: Sequence[str] | None = None,
        full_feature_names: bool = False,
    ) -> OnlineFeatures:
        """Look up the features of entity rows; as `FeatureClient.get_online_features`.

        Raises:
            ConfigurationError: Neither or both of `feature_service` and `features` are given.
            EntityRowsError: A value cannot be sent.
            GatewayError: The gateway refused, failed, or gave no answer.
        """
        request = encode_request(
            entities,
            feature_service=feature_service,
            features=features,
            full_feature_names=full_feature_names,
        )
        try:
            response = await self._http.post(
                ONLINE_FEATURES_PATH, content=request, headers=JSON_HEADERS
            )
        except httpx.TransportError as exc:
            raise unreachable(self._base_url, _reason(exc)) from exc
        raise_for_error(response.status_code, response.content)
        return parse_online_features(response.content, response.headers)

    async def readiness(self) -> Readiness:
        """Ask what the gateway serves.

        Raises:
            GatewayError: It is not ready, or gave no answer (status 0).
        """
        try:
            response = await self._http.get(READINESS_PATH)
        except httpx.TransportError as exc:
            raise unreachable(self._base_url, _reason(exc)) from exc
        raise_for_error(response.status_code, response.content)
        return parse_readiness(response.content)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def _reason(exc: httpx.TransportError) -> str:
    return str(exc) or type(exc).__name__
