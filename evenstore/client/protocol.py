"""The gateway's HTTP interface without I/O: requests as bytes, answers from bytes.

Both clients send and receive in their own way and share everything else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from evenstore.client.answers import OnlineFeatures, Readiness
from evenstore.clock import datetime_to_us
from evenstore.errors import ConfigurationError, EntityRowsError, GatewayError
from evenstore.redis_url import redact_url
from evenstore.semantics import Status, floor_to_s

__all__ = [
    "JSON_HEADERS",
    "ONLINE_FEATURES_PATH",
    "READINESS_PATH",
    "encode_request",
    "parse_online_features",
    "parse_readiness",
    "raise_for_error",
    "unreachable",
]

ONLINE_FEATURES_PATH = "/get-online-features"
READINESS_PATH = "/readyz"
JSON_HEADERS = {"content-type": "application/json"}

_OK = 200
_NO_ANSWER = 0
_NO_EVENT_TIMESTAMP = "1970-01-01T00:00:00Z"

_Parsed = TypeVar("_Parsed")


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
        name: [_encode_value(value, f"`{name}`, row {i}") for i, value in enumerate(values)]
        for name, values in entities.items()
    }
    body = {**asked, "entities": columns, "full_feature_names": full_feature_names}
    return json.dumps(body, separators=(",", ":")).encode()


def raise_for_error(status: int, body: bytes) -> None:
    """Raise what the gateway reports as an error.

    Raises:
        GatewayError: The HTTP status is not 200; it carries the gateway's code and hint.
    """
    if status == _OK:
        return
    try:
        error = json.loads(body)["error"]
        message, code, hint = str(error["message"]), str(error["code"]), error["hint"]
    except (ValueError, TypeError, KeyError):
        raise _foreign(status) from None
    raise GatewayError(message, status=status, remote_code=code, hint=hint)


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


def unreachable(base_url: str, reason: str) -> GatewayError:
    """Make the error for a gateway that gave no answer at all."""
    return GatewayError(
        f"the gateway at {redact_url(base_url)} gave no answer: {reason}",
        status=_NO_ANSWER,
        remote_code="unreachable",
        hint="does it run? `evenstore-serve --repo PATH` starts one",
    )


def _encode_value(value: object, where: str) -> object:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and value - value == 0.0:  # Neither NaN nor infinite.
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime) and value.tzinfo is not None:
        return floor_to_s(datetime_to_us(value))
    if isinstance(value, list | tuple):
        return [_encode_value(item, where) for item in value]
    msg = f"{where}: {value!r} cannot be sent"
    raise EntityRowsError(
        msg, hint="send str, int, finite float, bool, bytes, a datetime with a zone, or lists"
    )


def _online_features(answer: Any, headers: Mapping[str, str]) -> OnlineFeatures:
    names = tuple(answer["metadata"]["feature_names"])
    columns = dict(zip(names, answer["results"], strict=True))
    statuses = {
        name: [Status[status] for status in column["statuses"]] for name, column in columns.items()
    }
    instants: dict[str, int] = {}
    return OnlineFeatures(
        names=names,
        values={name: column["values"] for name, column in columns.items()},
        statuses=statuses,
        event_us={
            name: [
                _event_us(text, status, instants)
                for text, status in zip(column["event_timestamps"], statuses[name], strict=True)
            ]
            for name, column in columns.items()
        },
        as_of_us=int(headers["evenstore-as-of-us"]),
        is_clock_frozen=headers["evenstore-clock"] == "frozen",
    )


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
    except (ValueError, TypeError, KeyError) as exc:
        raise _foreign(_OK) from exc


def _foreign(status: int) -> GatewayError:
    return GatewayError(
        f"HTTP {status} without the gateway's form",
        status=status,
        remote_code="unknown",
        hint="does the address belong to an evenstore gateway, or to something before it?",
    )
