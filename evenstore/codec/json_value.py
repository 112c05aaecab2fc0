"""Values that hold values in the gateway's JSON, as stock Feast's HTTP server renders them.

```text
value                    JSON
text, UUID, JSON         text
decimal                  text
bytes                    base64 text
instant                  seconds; a zoned timestamp is an ISO 8601 text in its zone
NaN, infinities          the texts NaN, Infinity, -Infinity
list, set                array; a set ascending
map, struct              object
scalar map               object whose keys are the texts of the keys' own JSON
```

Two differences from stock are meant: it renders an empty list inside a list as null, and every
scalar map as null.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from evenstore.clock import datetime_to_us
from evenstore.dtypes import Dtype
from evenstore.semantics import floor_to_s

__all__ = ["json_writer", "to_json_value"]


def json_writer(dtype: Dtype) -> Callable[[Any], Any]:
    """Return what turns a value of a type, no null, into what a JSON library renders."""
    return datetime.isoformat if dtype.value == "ZonedTimestamp" else to_json_value


def to_json_value(value: Any) -> Any:
    """Turn a value, as either store returns it, into what a JSON library renders.

    Instants without a zone, which only a map from its source has, are in UTC.
    """
    if isinstance(value, Mapping):
        return {_key_text(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return _to_seconds(value) if isinstance(value, date) else str(value)


def _to_seconds(value: date) -> int:
    instant = value if isinstance(value, datetime) else datetime.combine(value, time())
    return floor_to_s(datetime_to_us(instant if instant.tzinfo else instant.replace(tzinfo=UTC)))


def _key_text(key: Any) -> str:
    plain = to_json_value(key)
    return plain if isinstance(plain, str) else json.dumps(plain)
