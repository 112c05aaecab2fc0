"""The blocking client."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpcore
import httpx
from typing_extensions import override

from evenstore.client.answers import OnlineFeatures, Readiness
from evenstore.client.deadline import DeadlineTransport, deadline
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

__all__ = ["FeatureClient"]

_BROKEN = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpx.TransportError,
    httpx.DecodingError,
)

_Answer = TypeVar("_Answer")


class FeatureClient:
    """A blocking client of one gateway; thread-safe, keeps connections until it is closed.

    ```python
    with FeatureClient("http://127.0.0.1:6566") as client:
        features = client.get_online_features(
            feature_service="churn_v1", entities={"customer_id": [17850]}
        )
    ```

    Every call has a deadline: it ends within `timeout_s` with an answer or a `GatewayError`,
    retries and their pauses included. Proxies of the environment are not used.

    Args:
        base_url: Where the gateway is.
        api_key: Sent with every request; `EVENSTORE_API_KEY` of the environment by default.
        timeout_s: Time of one call; each method takes another one.
        retries: How calls are tried again that failed for a reason that may pass.
        max_connections: Connections kept open at most; further calls wait for one.
        ssl_context: For https, where the system's authorities are not enough.

    Raises:
        ConfigurationError: An argument cannot be used.
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
        self._http = httpx.Client(
            base_url=self._settings.base_url,
            headers=self._settings.headers,
            trust_env=False,
            transport=DeadlineTransport(
                ssl_context=self._settings.ssl_context,
                max_connections=max_connections,
                keep_alive_s=KEEP_ALIVE_S,
            ),
        )

    @override
    def __repr__(self) -> str:
        return f"FeatureClient({self._settings.base_url!r})"

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
        timeout_s: float | None = None,
    ) -> OnlineFeatures:
        """Look up the features of entity rows, at the instant the gateway receives the request.

        Args:
            entities: One column per join key and per request field, equally long.
            feature_service: What to look up, by the name of a service,
            features: or by references of the form `view:feature`.
            full_feature_names: Name features `view__feature`.
            timeout_s: Time of this call.

        Raises:
            ConfigurationError: Neither or both of `feature_service` and `features` are given.
            EntityRowsError: A value cannot be sent.
            GatewayError: The gateway refused or failed (`status`, `remote_code`), or gave no answer
                (status 0).
        """
        exchange = online_features_exchange(
            entities,
            feature_service=feature_service,
            features=features,
            full_feature_names=full_feature_names,
        )
        return self._call(exchange, timeout_s)

    def feature_vectors(
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
        """Look up one feature vector per entity row; a row at fault carries its own error.

        Args:
            entity_rows: Per row its join keys and request data by name.
            feature_service: What to look up, by the name of a service,
            features: or by references of the form `view:feature`.
            full_feature_names: Name features `view__feature`.
            on_error: `fail` makes the first row at fault the answer to the whole request.
            as_of: The instant to answer for; only a gateway in test mode takes one.
            timeout_s: Time of this call.

        Raises:
            ConfigurationError: Neither or both of `feature_service` and `features` are given.
            EntityRowsError: A value cannot be sent.
            GatewayError: The gateway refused or failed, or gave no answer (status 0).
        """
        exchange = feature_vectors_exchange(
            entity_rows,
            feature_service=feature_service,
            features=features,
            full_feature_names=full_feature_names,
            on_error=on_error,
            as_of=as_of,
        )
        return self._call(exchange, timeout_s)

    def feature_services(self, *, timeout_s: float | None = None) -> tuple[ServiceSummary, ...]:
        """List the feature services, those that cannot be served included.

        Raises:
            GatewayError: The gateway refused or failed, or gave no answer (status 0).
        """
        return self._call(feature_services_exchange(), timeout_s)

    def feature_service(self, name: str, *, timeout_s: float | None = None) -> ServedService:
        """Describe what a feature service takes and gives.

        Raises:
            GatewayError: There is no such service (404), or the gateway failed.
        """
        return self._call(feature_service_exchange(name), timeout_s)

    def freshness(self, feature_view: str, *, timeout_s: float | None = None) -> ViewFreshness:
        """Tell how far a feature view is materialized.

        Raises:
            GatewayError: There is no such view (404), or the gateway failed.
        """
        return self._call(freshness_exchange(feature_view), timeout_s)

    def push(
        self,
        push_source_name: str,
        columns: Mapping[str, Sequence[object]],
        *,
        to: PushTarget = "online",
        timeout_s: float | None = None,
    ) -> None:
        """Push rows to a push source; when it returns, lookups see them.

        A push that fails may have been done all the same. Pushing again is harmless: of rows with
        one key the newest wins.

        Args:
            push_source_name: A registered push source.
            columns: Join keys, features and timestamps of the source, equally long. Datetimes need
                a zone.
            to: Which store takes them.
            timeout_s: Time of this call.

        Raises:
            EntityRowsError: A value cannot be sent.
            GatewayError: The gateway refused or failed, or gave no answer (status 0).
        """
        self._call(push_exchange(push_source_name, columns, to=to), timeout_s)

    def write_to_online_store(
        self,
        feature_view_name: str,
        columns: Mapping[str, Sequence[object]],
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Write rows of a feature view to the online store; otherwise as `push`.

        Raises:
            EntityRowsError: A value cannot be sent.
            GatewayError: The gateway refused or failed, or gave no answer (status 0).
        """
        self._call(write_exchange(feature_view_name, columns), timeout_s)

    def readiness(self, *, timeout_s: float | None = None) -> Readiness:
        """Ask what the gateway serves; never tried again.

        Raises:
            GatewayError: It is not ready, or gave no answer (status 0).
        """
        return self._call(readiness_exchange(), timeout_s)

    def is_ready(self, *, timeout_s: float | None = None) -> bool:
        """Tell whether lookups would be answered now; raises nothing."""
        try:
            self.readiness(timeout_s=timeout_s)
        except GatewayError:
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _call(self, exchange: Exchange[_Answer], timeout_s: float | None) -> _Answer:
        time_s = self._settings.timeout_s if timeout_s is None else timeout_s
        attempts = Attempts(self._settings.retries, self._budget, time_s)
        headers = request_headers(has_body=exchange.body is not None)
        while True:
            outcome = self._attempt(exchange, headers, attempts, time_s)
            if isinstance(outcome, Reply):
                self._budget.refund()
                return read_answer(exchange, outcome, headers)
            pause_s = attempts.pause_after(outcome) if exchange.is_retried else None
            if pause_s is None:
                raise outcome.raised(headers) from outcome.cause
            time.sleep(pause_s)

    def _attempt(
        self,
        exchange: Exchange[Any],
        headers: Mapping[str, str],
        attempts: Attempts,
        time_s: float,
    ) -> Reply | Failure:
        base_url = self._settings.base_url
        try:
            with deadline(attempts.end_s):
                response = self._http.request(
                    exchange.method,
                    exchange.path,
                    content=exchange.body,
                    headers=headers,
                    timeout=httpx.Timeout(None, connect=CONNECT_S, pool=attempts.remaining_s()),
                )
        except (httpcore.TimeoutException, httpx.TimeoutException) as exc:
            if attempts.remaining_s() > 0 and isinstance(exc, httpcore.ConnectTimeout):
                return broken_exchange(base_url, exc)
            return deadline_passed(base_url, time_s, exc)
        except _BROKEN as exc:
            return broken_exchange(base_url, exc)
        reply = Reply(response.status_code, response.headers, response.content)
        return failure_of(reply) or reply
