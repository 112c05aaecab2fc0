"""Stock's form of whole answers, while the schema they were planned with is replaced."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from evenstore.clock import SystemClock
from evenstore.dtypes import Dtype
from evenstore.schema.document import read_document
from evenstore.schema.model import RegistrySchema
from serving.compat.strict import STRICT_NULL_TIMESTAMP
from serving.compat.strict_form import StrictForm
from serving.gateway import Gateway
from serving.guard.access import AccessRules
from serving.guard.admission import Admission
from serving.guard.middleware import Guarding
from serving.guard.request_id import RequestIds
from serving.hot.feast_route import FeastRoute, Reply
from serving.link.link import RedisLink
from serving.plans import Plans
from serving.settings import Limits
from tests.serving import rows
from tests.serving.stack import Stack

pytestmark = pytest.mark.redis

_ASKED: dict[str, Any] = {
    "features": ["numbers:f_time", "profile:f_string", "numbers:f_int32"],
    "entities": {"customer_id": [rows.NULLS, rows.FRESH]},
    "full_feature_names": True,
}


def _route(gateway: Gateway) -> FeastRoute:
    guarding = Guarding(
        keys=None,
        rules=AccessRules(metrics_need_key=False),
        admission=Admission(10),
        request_ids=RequestIds(),
        metrics=gateway.metrics,
        log=gateway.log,
    )

    async def no_app(*_args: object) -> None:
        raise AssertionError

    return FeastRoute(no_app, gateway, guarding, StrictForm(gateway))


def _without_times(schema: RegistrySchema) -> RegistrySchema:
    """Return a schema in which a feature of the request has another type."""
    views = [
        dataclasses.replace(
            view,
            features=tuple(
                dataclasses.replace(field, dtype=Dtype.INT64) if field.name == "f_time" else field
                for field in view.features
            ),
        )
        for view in schema.feature_views
    ]
    return dataclasses.replace(schema, feature_views=tuple(views))


@pytest.mark.parametrize(
    "next_schema",
    [
        pytest.param(lambda schema: schema, id="the same"),
        pytest.param(lambda _: RegistrySchema("tiny", (), (), ()), id="views gone"),
        pytest.param(_without_times, id="feature retyped"),
    ],
)
def test_answer_keeps_the_schema_that_its_request_began_with(
    stack: Stack, next_schema: Callable[[RegistrySchema], RegistrySchema]
) -> None:
    schema = read_document(stack.schema_path)

    async def ask() -> Reply:
        link = RedisLink(stack.redis.url, timeout_s=30)
        gateway = Gateway(Plans(schema), link, SystemClock(), Limits())
        route = _route(gateway)
        replied: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        route.answer(route.meet([]), json.dumps(_ASKED).encode(), replied.set_result)
        gateway.plans = Plans(next_schema(schema))  # Redis has not answered yet.
        try:
            return await replied
        finally:
            await link.close()

    reply = asyncio.run(ask())
    assert reply.status == 200
    answer = json.loads(reply.body)
    columns = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    assert list(columns) == [
        "customer_id",
        "numbers__f_time",
        "numbers__f_int32",
        "profile__f_string",
    ]
    assert columns["numbers__f_time"]["values"][0] == STRICT_NULL_TIMESTAMP
