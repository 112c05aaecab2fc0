"""The gateway beside stock `feast serve`: the same answers, but for the differences that are meant.

One server each for the whole package, and the same Parquet files loaded by each into Redis.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from evenstore.errors import EvenstoreError
from evenstore.schema.compile import compile_store
from evenstore.schema.model import RegistrySchema
from evenstore.schema.request import resolve_references, resolve_service
from tests.serving.differential.comparison import compare
from tests.serving.differential.known_differences import DIFFERENCES, KEPT_IN_STRICT_MODE
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


def test_strict_answers_are_stocks_but_for_what_is_kept(servers: Servers) -> None:
    schema = compile_store(servers.our_repo.store())
    shown: set[str] = set()
    wrong = []
    # Of another seed than above: both servers are the same ones.
    drawn = range(10_000, 10_000 + scaled(60, 3_000))
    requests = [*REFUSED, *map(draw_request, drawn)]

    for request in requests:
        stock, ours = servers.ask_strict(request.body)
        views = _views_of(schema, request.body)
        found = compare(request.body, stock, ours, allowed=request.allowed, views=views)
        shown |= found.shown
        wrong += [f"{json.dumps(request.body)}: {problem}" for problem in found.unexplained]

    assert not wrong, f"{len(wrong)} differences:\n" + "\n".join(wrong[:10])
    assert shown == KEPT_IN_STRICT_MODE


def _views_of(schema: RegistrySchema, body: Any) -> dict[str, str]:
    """Name the view of each column that an answer may have; of none where a request is refused."""
    try:
        request = (
            resolve_service(schema, body["feature_service"])
            if "feature_service" in body
            else resolve_references(schema, tuple(body["features"]))
        )
    except (EvenstoreError, LookupError, TypeError, AttributeError):
        return {}
    is_full = body.get("full_feature_names", False)
    return {
        column.output_name(full_feature_names=is_full): column.view_name
        for column in request.columns
    }


def test_page_lists_the_differences_that_the_comparison_allows() -> None:
    rows = [
        f"| `{difference.name}` | {difference.stock} | {difference.ours} |"
        for difference in DIFFERENCES
    ]

    table = [line for line in _PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]

    assert table == rows


def test_page_names_the_differences_that_strict_mode_keeps() -> None:
    strict = _PAGE.read_text(encoding="utf-8").partition("## `compat: strict`")[2]
    (line,) = [line for line in strict.splitlines() if line.startswith("Of the list above")]

    assert set(re.findall(r"`([a-z-]+)`", line)) == KEPT_IN_STRICT_MODE
