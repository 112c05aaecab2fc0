"""The gateway's own routes (`/v1`) without I/O: exchanges, and how their answers are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from evenstore.client.exchange import Exchange, Reply, foreign_answer
from evenstore.client.sent_values import native_value
from evenstore.client.vectors import (
    EntityColumn,
    FeatureVector,
    FeatureVectors,
    ServedFeature,
    ServedService,
    ServiceSummary,
    VectorError,
    ViewFreshness,
)
from evenstore.clock import datetime_to_us, format_us
from evenstore.errors import ConfigurationError
from evenstore.semantics import Status

__all__ = [
    "OnError",
    "feature_service_exchange",
    "feature_services_exchange",
    "feature_vectors_exchange",
    "freshness_exchange",
]

OnError = Literal["row", "fail"]
"""`row`: a row at fault carries its error. `fail`: the first fault is the whole answer."""

_Answer = TypeVar("_Answer")


def feature_vectors_exchange(
    entity_rows: Sequence[Mapping[str, object]],
    *,
    feature_service: str | None,
    features: Sequence[str] | None,
    full_feature_names: bool,
    on_error: OnError,
    as_of: datetime | None,
) -> Exchange[FeatureVectors]:
    """Make a lookup of feature vectors.

    Raises:
        ConfigurationError: Neither or both of a feature service and features are given, or the
            instant has no zone.
        EntityRowsError: A value has no JSON form.
    """
    if (feature_service is None) == (features is None):
        msg = "a lookup takes either a feature service or features"
        raise ConfigurationError(msg, hint="pass one of `feature_service=` and `features=`")
    body: dict[str, Any] = (
        {"feature_service": feature_service} if features is None else {"features": list(features)}
    )
    body["entity_rows"] = [
        {name: native_value(value, f"`{name}`, row {i}") for name, value in row.items()}
        for i, row in enumerate(entity_rows)
    ]
    if full_feature_names:
        body["full_feature_names"] = True
    if on_error != "row":
        body["on_error"] = on_error
    if as_of is not None:
        body["as_of"] = _instant(as_of)
    return Exchange(
        method="POST",
        path="/v1/feature-vectors",
        read=_reader(_feature_vectors),
        body=json.dumps(body, separators=(",", ":")).encode(),
    )


def feature_services_exchange() -> Exchange[tuple[ServiceSummary, ...]]:
    """Make the question which feature services there are."""
    return Exchange(method="GET", path="/v1/feature-services", read=_reader(_services))


def feature_service_exchange(name: str) -> Exchange[ServedService]:
    """Make the question what a feature service takes and gives."""
    path = f"/v1/feature-services/{quote(name, safe='')}"
    return Exchange(method="GET", path=path, read=_reader(_service))


def freshness_exchange(feature_view: str) -> Exchange[ViewFreshness]:
    """Make the question how far a feature view is materialized."""
    path = f"/v1/feature-views/{quote(feature_view, safe='')}/freshness"
    return Exchange(method="GET", path=path, read=_reader(_freshness))


def _instant(as_of: datetime) -> str:
    if as_of.tzinfo is None:
        msg = f"as_of has no zone: {as_of!r}"
        raise ConfigurationError(msg, hint="give it one: `as_of.replace(tzinfo=UTC)`")
    return format_us(datetime_to_us(as_of))


def _reader(read: Callable[[Any], _Answer]) -> Callable[[Reply], _Answer]:
    def read_reply(reply: Reply) -> _Answer:
        try:
            return read(json.loads(reply.body))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise foreign_answer(reply.status) from exc

    return read_reply


def _feature_vectors(answer: Any) -> FeatureVectors:
    names = tuple(answer["feature_names"])
    instants: dict[str | None, int | None] = {None: None}
    return FeatureVectors(
        names=names,
        vectors=tuple(
            _feature_vector(vector, names, instants) for vector in answer["feature_vectors"]
        ),
        as_of_us=answer["as_of_us"],
        is_clock_frozen=answer["clock"] == "frozen",
        schema_fingerprint=answer["schema_fingerprint"],
        is_degraded=answer["degraded"],
    )


def _feature_vector(
    vector: Any, names: tuple[str, ...], instants: dict[str | None, int | None]
) -> FeatureVector:
    values = tuple(vector["values"])
    statuses = tuple([Status[status] for status in vector["statuses"]])
    if not len(names) == len(values) == len(statuses):
        raise ValueError
    error = vector["error"]
    return FeatureVector(
        names=names,
        keys=vector["keys"],
        values=values,
        statuses=statuses,
        event_us={
            view: _event_us(text, instants) for view, text in vector["event_timestamps"].items()
        },
        ages_s=vector["ages_s"],
        error=None
        if error is None
        else VectorError(error["code"], error["message"], error["hint"]),
    )


def _event_us(text: str | None, instants: dict[str | None, int | None]) -> int | None:
    if text not in instants:
        # Many rows of a batch share one instant: each text is parsed once.
        instants[text] = datetime_to_us(datetime.fromisoformat(str(text)))
    return instants[text]


def _services(answer: Any) -> tuple[ServiceSummary, ...]:
    return tuple(
        ServiceSummary(
            name=service["name"],
            description=service["description"],
            owner=service["owner"],
            schema_fingerprint=service["schema_fingerprint"],
            n_features=service["n_features"],
            problem=service["problem"],
        )
        for service in answer["feature_services"]
    )


def _service(answer: Any) -> ServedService:
    return ServedService(
        name=answer["name"],
        description=answer["description"],
        owner=answer["owner"],
        schema_fingerprint=answer["schema_fingerprint"],
        join_keys=_entity_columns(answer["join_keys"]),
        request_data=_entity_columns(answer["request_data"]),
        features=tuple(
            ServedFeature(
                name=feature["name"],
                feature_view=feature["feature_view"],
                dtype=feature["dtype"],
                is_on_demand=feature["is_on_demand"],
                ttl_s=feature["ttl_s"],
                default=feature["default"],
            )
            for feature in answer["features"]
        ),
        is_fail_open=answer["on_unavailable"] == "open",
        max_stale_s=answer["max_stale_s"],
        request_schema=answer["request_schema"],
        response_schema=answer["response_schema"],
    )


def _entity_columns(columns: Any) -> tuple[EntityColumn, ...]:
    return tuple(EntityColumn(column["name"], column["dtype"]) for column in columns)


def _freshness(answer: Any) -> ViewFreshness:
    return ViewFreshness(
        feature_view=answer["feature_view"],
        as_of_us=answer["as_of_us"],
        is_materialized=answer["is_materialized"],
        watermark_us=answer["watermark_us"],
        age_s=answer["age_s"],
        last_materialized_us=answer["last_materialized_us"],
        ttl_s=answer["ttl_s"],
    )
