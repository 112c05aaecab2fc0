"""The asynchronous client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from typing_extensions import override

from evenstore.client.answers import OnlineFeatures, Readiness
from evenstore.client.exchange import (
    Exchange,
    Failure,
    Reply,
    broken_exchange,
    deadline_passed,
    failure_of,
    read_answer,
)
from evenstore.client.native import (
    OnError,
    feature_service_exchange,
    feature_services_exchange,
    feature_vectors_exchange,
    freshness_exchange,
)
from evenstore.client.protocol import (
    PushTarget,
    online_features_exchange,
    push_exchange,
    readiness_exchange,
    write_exchange,
)
from evenstore.client.retries import Attempts, RetryBudget, RetryPolicy
from evenstore.client.settings import CONNECT_S, KEEP_ALIVE_S, open_settings, request_headers
from evenstore.client.vectors import FeatureVectors, ServedService, ServiceSummary, ViewFreshness
from evenstore.errors import GatewayError

__all__ = ["AsyncFeatureClient"]

_BROKEN = (httpx.TransportError, httpx.DecodingError)

_Answer = TypeVar("_Answer")


class AsyncFeatureClient:
    """The asynchronous twin of `FeatureClient`, for one event loop of asyncio.

    It takes the same arguments, gives the same answers and raises the same errors.

    ```python
    async with AsyncFeatureClient("http://127.0.0.1:6566") as client:
        features = await client.get_online_features(
            feature_service="churn_v1", entities={"customer_id": [17850]}
        )
    ```
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 5.0,
        retries: RetryPolicy | None = None,
        max_connections: int = 100,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = open_settings(
            base_url,
            api_key=api_key,
            timeout_s=timeout_s,
            retries=retries,
            max_connections=max_connections,
            ssl_context=ssl_context,
        )
        self._budget = RetryBudget(self._settings.retries)
        self._http = httpx.AsyncClient(
            base_url=self._settings.base_url,
            headers=self._settings.headers,
            trust_env=False,
            verify=self._settings.ssl_context,
            limits=httpx.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
        )

    @override
    def __repr__(self) -> str:
        return f"AsyncFeatureClient({self._settings.base_url!r})"

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
        timeout_s: float | None = None,
    ) -> OnlineFeatures:
        """As `FeatureClient.get_online_features`."""
        exchange = online_features_exchange(
            entities,
            feature_service=feature_service,
            features=features,
            full_feature_names=full_feature_names,
        )
        return await self._call(exchange, timeout_s)

    async def feature_vectors(
        self,
        entity_rows: Sequence[Mapping[str, object]],
        *,
        feature_service: str | None = None,
        features: Sequence[str] | None = None,
        full_feature_names: bool = False,
        on_error: OnError = "row",
        as_of: datetime | None = None,
        timeout_s: float | None = None,
    ) -> FeatureVectors:
        """As `FeatureClient.feature_vectors`."""
        exchange = feature_vectors_exchange(
            entity_rows,
            feature_service=feature_service,
            features=features,
            full_feature_names=full_feature_names,
            on_error=on_error,
            as_of=as_of,
        )
        return await self._call(exchange, timeout_s)

    async def feature_services(
        self, *, timeout_s: float | None = None
    ) -> tuple[ServiceSummary, ...]:
        """As `FeatureClient.feature_services`."""
        return await self._call(feature_services_exchange(), timeout_s)

    async def feature_service(self, name: str, *, timeout_s: float | None = None) -> ServedService:
        """As `FeatureClient.feature_service`."""
        return await self._call(feature_service_exchange(name), timeout_s)

    async def freshness(
        self, feature_view: str, *, timeout_s: float | None = None
    ) -> ViewFreshness:
        """As `FeatureClient.freshness`."""
        return await self._call(freshness_exchange(feature_view), timeout_s)

    async def push(
        self,
        push_source_name: str,
        columns: Mapping[str, Sequence[object]],
        *,
        to: PushTarget = "online",
        timeout_s: float | None = None,
    ) -> None:
        """As `FeatureClient.push`."""
        await self._call(push_exchange(push_source_name, columns, to=to), timeout_s)

    async def write_to_online_store(
        self,
        feature_view_name: str,
        columns: Mapping[str, Sequence[object]],
        *,
        timeout_s: float | None = None,
    ) -> None:
        """As `FeatureClient.write_to_online_store`."""
        await self._call(write_exchange(feature_view_name, columns), timeout_s)

    async def readiness(self, *, timeout_s: float | None = None) -> Readiness:
        """As `FeatureClient.readiness`."""
        return await self._call(readiness_exchange(), timeout_s)

    async def is_ready(self, *, timeout_s: float | None = None) -> bool:
        """As `FeatureClient.is_ready`."""
        try:
            await self.readiness(timeout_s=timeout_s)
        except GatewayError:
            return False
        return True

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _call(self, exchange: Exchange[_Answer], timeout_s: float | None) -> _Answer:
        time_s = self._settings.timeout_s if timeout_s is None else timeout_s
        attempts = Attempts(self._settings.retries, self._budget, time_s)
        headers = request_headers(has_body=exchange.body is not None)
        while True:
            outcome = await self._attempt(exchange, headers, attempts, time_s)
            if isinstance(outcome, Reply):
                self._budget.refund()
                return read_answer(exchange, outcome, headers)
            pause_s = attempts.pause_after(outcome) if exchange.is_retried else None
            if pause_s is None:
                raise outcome.raised(headers) from outcome.cause
            await asyncio.sleep(pause_s)

    async def _attempt(
        self,
        exchange: Exchange[Any],
        headers: Mapping[str, str],
        attempts: Attempts,
        time_s: float,
    ) -> Reply | Failure:
        base_url = self._settings.base_url
        try:
            async with asyncio.timeout(attempts.remaining_s()):
                response = await self._http.request(
                    exchange.method,
                    exchange.path,
                    content=exchange.body,
                    headers=headers,
                    timeout=httpx.Timeout(None, connect=CONNECT_S),
                )
        except TimeoutError as exc:
            return deadline_passed(base_url, time_s, exc)
        except _BROKEN as exc:
            return broken_exchange(base_url, exc)
        reply = Reply(response.status_code, response.headers, response.content)
        return failure_of(reply) or reply
