"""Does what docs/guides/degradation.md says, with its own declaration."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from feast import Entity
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from evenstore.schema.compile import compile_store
from evenstore.schema.document import write_document
from tests.serving.processes import run_worker
from tests.support.feast_repo import FeastRepo

pytestmark = [pytest.mark.slow, pytest.mark.redis]

_GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "degradation.md"


def _block(language: str) -> str:
    text = _GUIDE.read_text(encoding="utf-8")
    (block,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return str(block)


def test_the_guides_service_answers_as_it_says(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = FeastRepo(tmp_path / "repo", redis_url=redis_url)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    activity_schema: dict[str, Any] = {
        "customer_id": Int64,
        "orders_30d": Int64,
        "spend_30d": Float64,
    }
    activity = repo.view("customer_activity", [customer], activity_schema, ttl=timedelta(days=1))
    profile = repo.view("customer_profile", [customer], {"customer_id": Int64, "country": String})
    definitions = ModuleType("definitions")
    vars(definitions).update(customer_activity=activity, customer_profile=profile)
    monkeypatch.setitem(sys.modules, "definitions", definitions)
    names: dict[str, Any] = {}
    exec(compile(_block("python"), _GUIDE.name, "exec"), names)  # noqa: S102 - The guide's own code.
    store = repo.apply(customer, activity, profile, names["checkout_v2"])
    schema_path = tmp_path / "schema.json"
    write_document(compile_store(store), schema_path)
    expected = json.loads(_block("json"))
    with run_worker(tmp_path / "worker", schema_path, redis_url) as worker:
        body = {"feature_service": "checkout_v2", "entity_rows": [expected["keys"]]}
        answer = httpx.post(f"{worker.url}/v1/feature-vectors", json=body, timeout=60).json()
    assert answer["feature_vectors"] == [expected]
