"""The rows that the tests of lookups find in Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import redis
from feast.protos.feast.types.Value_pb2 import BytesList, DoubleList, Value

from tests.serving.tiny_repo import TTL, customer, write_row

FRESH = 7
NULLS = 8
SPECIAL = 9
EXPIRED = 10
UNKNOWN = 404
EVENT = (datetime.now(tz=UTC) - timedelta(hours=1)).replace(microsecond=123_456)
OLD_EVENT = EVENT - TTL - timedelta(hours=1)
INT64 = 2**53 + 1
FLOAT32 = 0.10000000149011612
VALUES = {
    "f_int32": Value(int32_val=-5),
    "f_int64": Value(int64_val=INT64),
    "f_float32": Value(float_val=0.1),
    "f_float64": Value(double_val=0.1),
    "f_bool": Value(bool_val=False),
    "f_string": Value(string_val="Grüße"),
    "f_bytes": Value(bytes_val=b"\x00\xff"),
    "f_time": Value(unix_timestamp_val=-1),
    "f_floats": Value(double_list_val=DoubleList(val=[1.5, float("nan"), float("-inf")])),
    "f_blobs": Value(bytes_list_val=BytesList(val=[b"a", b""])),
}
JSON_VALUES = {
    "f_int32": -5,
    "f_int64": INT64,
    "f_float32": FLOAT32,
    "f_float64": 0.1,
    "f_bool": False,
    "f_string": "Grüße",
    "f_bytes": "AP8=",
    "f_time": -1,
    "f_floats": [1.5, "NaN", "-Infinity"],
    "f_blobs": ["YQ==", ""],
}


def fill(client: redis.Redis) -> None:
    """Write all rows."""
    write_row(client, "numbers", customer(FRESH), VALUES, EVENT)
    write_row(client, "numbers", customer(NULLS), dict.fromkeys(VALUES, Value()), EVENT)
    special = {
        **dict.fromkeys(VALUES, Value()),
        "f_float32": Value(float_val=float("inf")),
        "f_float64": Value(double_val=float("nan")),
    }
    write_row(client, "numbers", customer(SPECIAL), special, EVENT)
    write_row(client, "numbers", customer(EXPIRED), VALUES, OLD_EVENT)
    write_row(client, "profile", customer(FRESH), {"f_string": Value(string_val="p")}, OLD_EVENT)
    document = {"document_id": Value(bytes_val=b"\x00doc")}
    write_row(client, "scans", document, {"pages": Value(int32_val=3)}, EVENT)
