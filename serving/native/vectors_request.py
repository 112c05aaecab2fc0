"""The body of a request for feature vectors, from its bytes to checked plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import ormsgpack

from evenstore.clock import datetime_to_us
from serving.errors import InvalidRequestError
from serving.hot.feast_request import repeated_references
from serving.native.media_type import Form

__all__ = ["VectorsRequest", "parse_vectors_request"]

_HINT = 'for example {"feature_service": "...", "entity_rows": [{"customer_id": 1}]}'
_REFERENCE_PARTS = 2
_ON_ERROR = ("row", "fail")
_KNOWN = frozenset(
    {"feature_service", "features", "entity_rows", "full_feature_names", "on_error", "as_of"}
)


@dataclass(frozen=True, slots=True)
class VectorsRequest:
    """What is asked for; see `serving.native.models.FeatureVectorsRequest`.

    Attributes:
        feature_service: A name: this,
        features: or references; the other is None.
        entity_rows: As they came; each may be anything.
        full_feature_names: Whether features are named `view__feature`.
        fails_as_a_whole: Whether the first fault is the answer.
        as_of_us: The instant asked for, if one is.
    """

    feature_service: str | None
    features: tuple[str, ...] | None
    entity_rows: list[Any]
    full_feature_names: bool
    fails_as_a_whole: bool
    as_of_us: int | None


def parse_vectors_request(body: bytes, form: Form) -> VectorsRequest:
    """Parse a body of JSON or MessagePack.

    Raises:
        InvalidRequestError: It has not the form of a request; says where.
    """
    data = _decode(body, form)
    unknown = sorted(str(name) for name in data.keys() - _KNOWN)
    if unknown:
        raise _invalid(where=unknown[0], problem="is no field of this request")
    service = _read_service(data.get("feature_service"))
    features = _read_features(data.get("features"))
    if (service is None) == (features is None):
        msg = "a request takes either `feature_service` or `features`"
        raise InvalidRequestError(msg, hint=_HINT)
    on_error = data.get("on_error", "row")
    if on_error not in _ON_ERROR:
        raise _invalid(where="on_error", problem="is neither `row` nor `fail`")
    full_feature_names = data.get("full_feature_names", False)
    if not isinstance(full_feature_names, bool):
        raise _invalid(where="full_feature_names", problem="is not true or false")
    return VectorsRequest(
        feature_service=service,
        features=features,
        entity_rows=_read_rows(data.get("entity_rows")),
        full_feature_names=full_feature_names,
        fails_as_a_whole=on_error == "fail",
        as_of_us=_read_instant(data.get("as_of")),
    )


def _decode(body: bytes, form: Form) -> dict[Any, Any]:
    try:
        if form is Form.MESSAGE_PACK:
            data = ormsgpack.unpackb(body, option=ormsgpack.OPT_DATETIME_AS_TIMESTAMP_EXT)
        else:
            data = orjson.loads(body)
    except ValueError as exc:  # Of both libraries.
        name = "MessagePack" if form is Form.MESSAGE_PACK else "JSON"
        msg = f"the body is no {name}: {exc}"
        raise InvalidRequestError(msg, hint=_HINT) from exc
    if not isinstance(data, dict):
        msg = "the body is no object"
        raise InvalidRequestError(msg, hint=_HINT)
    return data


def _read_service(service: Any) -> str | None:
    if service is not None and not isinstance(service, str):
        raise _invalid(where="feature_service", problem="is no text")
    return service


def _read_features(features: Any) -> tuple[str, ...] | None:
    if features is None:
        return None
    if not isinstance(features, list) or not all(isinstance(each, str) for each in features):
        raise _invalid(where="features", problem="is no list of texts")
    if not features:
        raise _invalid(where="features", problem="is empty")
    for reference in features:
        parts = reference.split(":")
        if len(parts) != _REFERENCE_PARTS or not all(parts) or reference.startswith("@"):
            raise _invalid(where="features", problem=f"has {reference!r}, not `view:feature`")
    repeated = repeated_references(features)
    if repeated:
        raise _invalid(where="features", problem=f"asks twice for `{repeated[0]}`")
    return tuple(features)


def _read_rows(rows: Any) -> list[Any]:
    if not isinstance(rows, list):
        raise _invalid(where="entity_rows", problem="is no list of objects")
    if not rows:
        raise _invalid(where="entity_rows", problem="is empty")
    return rows


def _read_instant(as_of: Any) -> int | None:
    if as_of is None:
        return None
    try:
        instant = datetime.fromisoformat(as_of) if isinstance(as_of, str) else as_of
        if isinstance(instant, datetime) and instant.tzinfo is not None:
            return datetime_to_us(instant.astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    raise _invalid(where="as_of", problem="is no RFC 3339 instant with a zone")


def _invalid(*, where: str, problem: str) -> InvalidRequestError:
    msg = f"not a request for feature vectors: `{where}` {problem}"
    return InvalidRequestError(msg, hint=_HINT, problems=[{"where": where, "problem": problem}])
