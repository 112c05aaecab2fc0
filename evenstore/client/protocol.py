"""Lookups in Feast's form, writes and readiness, without I/O: exchanges and how they are read.

Both clients send and receive in their own way and share everything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from evenstore.client.answers import OnlineFeatures, Readiness
from evenstore.client.exchange import Exchange, Reply, foreign_answer
from evenstore.client.sent_values import sent_value, written_value
from evenstore.clock import datetime_to_us
from evenstore.errors import ConfigurationError
from evenstore.semantics import Status

__all__ = [
    "PushTarget",
    "encode_request",
    "online_features_exchange",
    "parse_online_features",
    "parse_readiness",
    "push_exchange",
    "readiness_exchange",
    "write_exchange",
]

PushTarget = Literal["online", "offline", "online_and_offline"]
"""Where a push goes, in Feast's words."""

_OK = 200
_NO_EVENT_TIMESTAMP = "1970-01-01T00:00:00Z"

_STATUSES = {status.name: status for status in Status}

_Parsed = TypeVar("_Parsed")


def online_features_exchange(
    entities: Mapping[str, Sequence[object]],
    *,
    feature_service: str | None,
    features: Sequence[str] | None,
    full_feature_names: bool,
) -> Exchange[OnlineFeatures]:
    """Make a lookup in Feast's form.

    Raises:
        ConfigurationError: Neither or both of a feature service and features are given.
        EntityRowsError: A value has no JSON form.
    """
    return Exchange(
        method="POST",
        path="/get-online-features",
        read=lambda reply: parse_online_features(reply.body, reply.headers),
        body=encode_request(
            entities,
            feature_service=feature_service,
            features=features,
            full_feature_names=full_feature_names,
        ),
    )


def push_exchange(
    push_source_name: str, columns: Mapping[str, Sequence[object]], *, to: PushTarget
) -> Exchange[None]:
    """Make a push of rows to a push source.

    Raises:
        EntityRowsError: A value has no JSON form.
    """
    body = {"push_source_name": push_source_name, "df": _written_columns(columns), "to": to}
    return _write("/push", body)


def write_exchange(
    feature_view_name: str, columns: Mapping[str, Sequence[object]]
) -> Exchange[None]:
    """Make a write of rows to a feature view.

    Raises:
        EntityRowsError: A value has no JSON form.
    """
    body = {"feature_view_name": feature_view_name, "df": _written_columns(columns)}
    return _write("/write-to-online-store", body)


def readiness_exchange() -> Exchange[Readiness]:
    """Make the question what is served; a probe, so its first answer counts."""
    return Exchange(
        method="GET",
        path="/readyz",
        read=lambda reply: parse_readiness(reply.body),
        is_retried=False,
    )


def encode_request(
    entities: Mapping[str, Sequence[object]],
    *,
    feature_service: str | None,
    features: Sequence[str] | None,
    full_feature_names: bool,
) -> bytes:
    """Render a lookup's body.

    Integers stay exact at any size; bytes become base64 text, datetimes whole seconds.

    Raises:
        ConfigurationError: Neither or both of a feature service and features are given.
        EntityRowsError: A value has no JSON form: a naive datetime, NaN, an object.
    """
    if (feature_service is None) == (features is None):
        msg = "a lookup takes either a feature service or features"
        raise ConfigurationError(msg, hint="pass one of `feature_service=` and `features=`")
    asked = (
        {"feature_service": feature_service} if features is None else {"features": list(features)}
    )
    columns = {
        name: [sent_value(value, f"`{name}`, row {i}") for i, value in enumerate(values)]
        for name, values in entities.items()
    }
    body = {**asked, "entities": columns, "full_feature_names": full_feature_names}
    return json.dumps(body, separators=(",", ":")).encode()


def parse_online_features(body: bytes, headers: Mapping[str, str]) -> OnlineFeatures:
    """Read a lookup's answer.

    Raises:
        GatewayError: The answer is not the gateway's.
    """
    return _parse(lambda: _online_features(json.loads(body), headers))


def parse_readiness(body: bytes) -> Readiness:
    """Read the answer of readyz.

    Raises:
        GatewayError: The answer is not the gateway's.
    """
    return _parse(lambda: _readiness(json.loads(body)))


def _online_features(answer: Any, headers: Mapping[str, str]) -> OnlineFeatures:
    names = tuple(answer["metadata"]["feature_names"])
    columns = dict(zip(names, answer["results"], strict=True))
    statuses = {
        name: [_STATUSES[status] for status in column["statuses"]]
        for name, column in columns.items()
    }
    return OnlineFeatures(
        names=names,
        values={name: column["values"] for name, column in columns.items()},
        statuses=statuses,
        event_us=_event_columns(
            {name: column["event_timestamps"] for name, column in columns.items()}, statuses
        ),
        as_of_us=int(headers["evenstore-as-of-us"]),
        is_clock_frozen=headers["evenstore-clock"] == "frozen",
    )


def _event_columns(
    texts: Mapping[str, Sequence[str]], statuses: Mapping[str, Sequence[Status]]
) -> dict[str, list[int | None]]:
    instants: dict[str, int] = {}
    columns: dict[str, list[int | None]] = {}
    before: tuple[Sequence[str], Sequence[Status]] | None = None
    column: list[int | None] = []
    for name in texts:
        # The features of a view mostly say the same.
        if (texts[name], statuses[name]) != before:
            before = texts[name], statuses[name]
            column = [
                _event_us(text, status, instants) for text, status in zip(*before, strict=True)
            ]
        columns[name] = column
    return columns


def _event_us(text: str, status: Status, instants: dict[str, int]) -> int | None:
    if status is Status.NOT_FOUND and text == _NO_EVENT_TIMESTAMP:
        return None
    instant = instants.get(text)
    if instant is None:
        # Many rows of a batch share one instant: each text is parsed once.
        instant = instants[text] = datetime_to_us(datetime.fromisoformat(text))
    return instant


def _readiness(answer: Any) -> Readiness:
    return Readiness(
        project=answer["project"],
        schema_fingerprint=answer["schema_fingerprint"],
        as_of_us=int(answer["as_of_us"]),
        is_clock_frozen=answer["clock"] == "frozen",
    )


def _parse(read: Callable[[], _Parsed]) -> _Parsed:
    try:
        return read()
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as exc:
        raise foreign_answer(_OK) from exc


def _write(path: str, body: Mapping[str, Any]) -> Exchange[None]:
    content = json.dumps(body, separators=(",", ":")).encode()
    return Exchange(method="POST", path=path, read=_nothing, body=content)


def _nothing(_reply: Reply) -> None:
    return


def _written_columns(columns: Mapping[str, Sequence[object]]) -> dict[str, list[object]]:
    return {
        name: [written_value(value, f"`{name}`, row {i}") for i, value in enumerate(values)]
        for name, values in columns.items()
    }
