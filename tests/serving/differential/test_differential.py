"""The gateway beside stock `feast serve`: the same answers, but for the differences that are meant.

One server each for the whole package, and the same Parquet files loaded by each into Redis.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenstore.schema.compile import compile_store
from evenstore.schema.request import resolve_references, resolve_service
from serving.compat.strict import strict_order
from tests.serving.differential.comparison import compare
from tests.serving.differential.known_differences import DIFFERENCES
from tests.serving.differential.servers import Servers
from tests.serving.differential.varied_requests import REFUSED, draw_request
from tests.support.scale import scaled

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.xdist_group("differential")]

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "feast-server.md"


def test_answers_are_stocks_but_for_what_is_documented(servers: Servers) -> None:
    shown: set[str] = set()
    wrong = []
    requests = [*REFUSED, *map(draw_request, range(scaled(160, 3_000)))]

    for request in requests:
        stock, ours = servers.ask_both(request.body)
        found = compare(request.body, stock, ours, allowed=request.allowed)
        shown |= found.shown
        wrong += [f"{json.dumps(request.body)}: {problem}" for problem in found.unexplained]

    assert not wrong, f"{len(wrong)} differences:\n" + "\n".join(wrong[:10])
    # What no request shows any more has no place on the list.
    assert shown == {difference.name for difference in DIFFERENCES}


def test_strict_order_is_stocks_but_for_the_order_inside_a_view(servers: Servers) -> None:
    schema = compile_store(servers.our_repo.store())
    wrong = []
    for number in range(scaled(60, 1_000)):
        body = draw_request(number).body | {"full_feature_names": False}
        response = servers.ask_stock(body)
        if not response.is_success:
            continue
        request = (
            resolve_service(schema, body["feature_service"])
            if "feature_service" in body
            else resolve_references(schema, body["features"])
        )
        order = strict_order(request, body["entities"])
        columns = [request.columns[i] for i in order.features]
        views = {column.field.name: column.view_name for column in request.columns}
        named = response.json()["metadata"]["feature_names"]
        keys = [request.entity_columns[i].name for i in order.keys]
        if named[: len(keys)] != keys or [views[name] for name in named[len(keys) :]] != [
            column.view_name for column in columns
        ]:
            wrong.append(f"{json.dumps(body)}: {named}")

    assert not wrong, "\n".join(wrong[:10])


def test_page_lists_the_differences_that_the_comparison_allows() -> None:
    rows = [
        f"| `{difference.name}` | {difference.stock} | {difference.ours} |"
        for difference in DIFFERENCES
    ]

    table = [line for line in _PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]

    assert table == rows
