"""JSON, MessagePack, Arrow and Feast's form say the same of every value, for random types."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import ormsgpack
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.schema.document import write_document
from evenstore.schema.json_form import dump_value
from evenstore.schema.model import (
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    Layout,
    Projection,
    RegistrySchema,
)
from evenstore.schema.on_demand_values import coerce_value
from tests.property.nested_values import read_cases
from tests.serving.processes import Running, run_worker, wait_until
from tests.serving.redis_process import RedisProcess
from tests.support.scale import scaled
from tests.support.stored_rows import write_rows

pytestmark = pytest.mark.slow

PROJECT = "forms"
EVENT_US = 1_600_000_000_966_876
EVENT = datetime(2020, 9, 13, 12, 26, 40, 966876, tzinfo=UTC)
N_ROWS = 3
_FLOATS = st.floats(width=32) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0])
# The types that have no NaN in `read_cases`.
_WITH_NAN = st.tuples(st.sampled_from([Dtype.FLOAT32, Dtype.FLOAT64]), _FLOATS) | st.tuples(
    st.sampled_from([Dtype.FLOAT32_LIST, Dtype.FLOAT64_LIST]), st.lists(_FLOATS, max_size=3)
)
_CASES = (_WITH_NAN | read_cases()).filter(lambda case: case[0].is_kept_online)


@dataclass(frozen=True)
class Gateway:
    """A worker whose schema a test replaces, and its Redis."""

    worker: Running
    redis: RedisProcess
    schema_path: Path

    def serve(self, schema: RegistrySchema) -> None:
        write_document(schema, self.schema_path)
        wait_until(
            lambda: self.worker.get("/readyz").json()["schema_fingerprint"] == schema.fingerprint,
            "the worker serves the schema",
        )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("forms")
    server = RedisProcess(folder / "redis")
    server.start()
    schema_path = folder / "schema.json"
    write_document(_schema([Field("x", Dtype.INT64)], Layout.PACKED), schema_path)
    try:
        with run_worker(folder, schema_path, server.url) as worker:
            yield Gateway(worker, server, schema_path)
    finally:
        server.kill()


def _schema(features: Sequence[Field], layout: Layout) -> RegistrySchema:
    view = FeatureViewSchema("v", (Field("k", Dtype.INT64),), tuple(features), None)
    projection = Projection("v", "v", tuple(field.name for field in features))
    service = FeatureServiceSchema("svc", (projection,))
    return RegistrySchema(PROJECT, (view,), (), (service,), layout)


@settings(
    max_examples=scaled(8, 60),
    deadline=None,
)
@given(st.lists(_CASES, min_size=1, max_size=12), st.sampled_from(Layout))
def test_forms_agree(gateway: Gateway, cases: list[tuple[Dtype, Any]], layout: Layout) -> None:
    features = [Field(f"f{i}", dtype) for i, (dtype, _) in enumerate(cases)]
    schema = _schema(features, layout)
    gateway.serve(schema)
    # One row with every value, one of nulls, one that is not there.
    values = {field.name: value for field, (_, value) in zip(features, cases, strict=True)}
    with gateway.redis.client() as client:
        client.flushall()
        (view,) = schema.feature_views
        write_rows(client, PROJECT, view, [([1], values, EVENT_US), ([2], {}, EVENT_US)], layout)
    expected = [
        coerce_value(value, field.dtype, where=field.name)
        for field, value in zip(features, values.values(), strict=True)
    ]
    nulls = [None] * len(features)
    statuses = [
        ["NULL_VALUE" if value is None else "PRESENT" for value in expected],
        ["NULL_VALUE"] * len(features),
        ["NOT_FOUND"] * len(features),
    ]
    answers = {name: read(gateway.worker) for name, read in _FORMS.items()}
    for name, answer in answers.items():
        for row, wanted, row_statuses in zip(
            answer, (expected, nulls, nulls), statuses, strict=True
        ):
            assert row.statuses == row_statuses, name
            for field, value, given_value in zip(features, wanted, row.values, strict=True):
                written = _WRITERS[name](value, field.dtype)
                assert _bits(given_value) == _bits(written), (name, field.dtype)
        assert [row.event for row in answer] == [EVENT, EVENT, None], name


@dataclass(frozen=True)
class Row:
    """One entity row of an answer, in whatever form."""

    values: list[Any]
    statuses: list[str]
    event: datetime | None


def _post(worker: Running, accept: str) -> httpx.Response:
    body = {"feature_service": "svc", "entity_rows": [{"k": k + 1} for k in range(N_ROWS)]}
    url, headers = f"{worker.url}/v1/feature-vectors", {"accept": accept}
    response = httpx.post(url, json=body, headers=headers, timeout=60)
    assert response.status_code == 200, response.text
    return response


def _read_json(worker: Running) -> list[Row]:
    answer = json.loads(_post(worker, "application/json").content)
    return [
        Row(vector["values"], vector["statuses"], _instant(vector["event_timestamps"]["v"]))
        for vector in answer["feature_vectors"]
    ]


def _read_message_pack(worker: Running) -> list[Row]:
    answer = ormsgpack.unpackb(
        _post(worker, "application/msgpack").content,
        option=ormsgpack.OPT_NON_STR_KEYS,
    )
    return [
        Row(vector["values"], vector["statuses"], _instant(vector["event_timestamps"]["v"]))
        for vector in answer["feature_vectors"]
    ]


def _read_arrow(worker: Running) -> list[Row]:
    content = _post(worker, "application/vnd.apache.arrow.stream").content
    (batch,) = pa.ipc.open_stream(content)
    columns = [
        batch.column(name).to_pylist() for name in ("values", "statuses", "event_timestamps")
    ]
    return [
        Row([*values.values()], [*statuses.values()], events["v"])
        for values, statuses, events in zip(*columns, strict=True)
    ]


def _read_feast(worker: Running) -> list[Row]:
    ids = [k + 1 for k in range(N_ROWS)]
    response = worker.post({"feature_service": "svc", "entities": {"k": ids}})
    assert response.status_code == 200, response.text
    columns = json.loads(response.content)["results"][1:]
    events = [_instant(text) for text in columns[0]["event_timestamps"]]
    return [
        Row(
            [column["values"][i] for column in columns],
            [column["statuses"][i] for column in columns],
            None if columns[0]["statuses"][i] == "NOT_FOUND" else events[i],
        )
        for i in range(N_ROWS)
    ]


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _in_json(value: Any, _dtype: Dtype) -> Any:
    return _plain_json(value, lambda instant: instant.isoformat().replace("+00:00", "Z"))


def _in_feast_json(value: Any, _dtype: Dtype) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    return _plain_json(value, lambda instant: int(instant.timestamp()))


def _plain_json(value: Any, write_instant: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain_json(item, write_instant) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain_json(item, write_instant) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return write_instant(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    return value


def _in_message_pack(value: Any, _dtype: Dtype) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_message_pack(item, _dtype) for name, item in value.items()}
    if isinstance(value, list):
        return [_in_message_pack(item, _dtype) for item in value]
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _in_arrow(value: Any, dtype: Dtype) -> Any:
    return dump_value(value, dtype) if dtype.holds_map and value is not None else value


_FORMS = {
    "json": _read_json,
    "message pack": _read_message_pack,
    "arrow": _read_arrow,
    "feast": _read_feast,
}
_WRITERS: dict[str, Any] = {
    "json": _in_json,
    "message pack": _in_message_pack,
    "arrow": _in_arrow,
    "feast": _in_feast_json,
}


def _bits(value: Any) -> Any:
    """Tell 1 from 1.0 and True, 0.0 from -0.0; equal instants are equal in every zone."""
    if isinstance(value, Mapping):
        return {name: _bits(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_bits(item) for item in value]
    return value.timestamp() if isinstance(value, datetime) else repr(value)
