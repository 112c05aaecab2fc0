"""Requests: drawn ones that both servers answer, and those that at least one refuses."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.serving.differential import shop

_FEATURES: dict[str, list[str]] = {
    "profile": list(shop.SCALARS),
    "lists": list(shop.LISTS),
    "scores": list(shop.SCORES),
    "stock": list(shop.STOCK),
    "visits": list(shop.VISITS),
    "spend": ["ratio_to_usual", "not_a_number"],
    "ratio": ["double_score"],
}
_COLUMNS: dict[str, tuple[str, ...]] = {
    "profile": ("customer_id",),
    "lists": ("customer_id",),
    "scores": ("customer_id",),
    "stock": ("store",),
    "visits": ("customer_id", "store"),
    "spend": ("customer_id", "amount", "n"),
    "ratio": ("customer_id",),
    "all_types": ("customer_id",),
    "mixed": ("customer_id", "store"),
    "checkout": ("customer_id", "amount", "n"),
    "transfers": ("origin_store", "target_store"),
}
_SERVICES = ("all_types", "mixed", "checkout", "transfers")
_MAX_FEATURES = 12


@dataclass(frozen=True, slots=True)
class Request:
    """A body, and the difference that it is meant to show, if any."""

    body: Any
    allowed: frozenset[str] = frozenset()


def draw_request(number: int) -> Request:
    """Draw one that both answer; the same number gives the same request."""
    dice = random.Random(number)
    body: dict[str, Any] = {
        "full_feature_names": dice.random() < 0.5,
        "include_feature_view_version_metadata": dice.random() < 0.3,
    }
    if dice.random() < 0.3:
        service = dice.choice(_SERVICES)
        body["feature_service"] = service
        body["full_feature_names"] |= service == "transfers"
        views = [service]
    else:
        views = dice.sample(list(_FEATURES), dice.choice((1, 1, 2, 2, 3)))
        references = [
            f"{view}:{feature}"
            for view in views
            for feature in dice.sample(_FEATURES[view], dice.randint(1, len(_FEATURES[view])))
        ]
        dice.shuffle(references)
        body["features"] = references[:_MAX_FEATURES]
    named = [reference.partition(":")[0] for reference in body.get("features", views)]
    columns = list(dict.fromkeys(column for view in named for column in _COLUMNS[view]))
    body["entities"] = _entities(dice, columns)
    return Request(body)


def _entities(dice: random.Random, columns: list[str]) -> dict[str, list[Any]]:
    n_rows = dice.choice((1, 1, 2, 3, 5, 8))
    dice.shuffle(columns)
    entities = {column: [_value(dice, column) for _ in range(n_rows)] for column in columns}
    if dice.random() < 0.2:
        entities["note"] = ["nobody asks for it"] * n_rows
    return entities


def _value(dice: random.Random, column: str) -> Any:
    if column == "customer_id":
        return dice.choice((dice.randint(1, 45), dice.choice((5, 7, 15, -1, 2**62))))
    if column == "n":
        return dice.randint(-3, 3)
    if column == "amount":
        return dice.choice((0.5, 100.0, 3.0, -2.25))
    return dice.choice((*shop.STORES, "no such store"))


def _ask(features: Any = ("scores:score",), **body: Any) -> dict[str, Any]:
    asked = {"features": list(features) if isinstance(features, tuple) else features}
    return asked | {"entities": {"customer_id": [1]}} | body


def _shows(name: str, body: Any) -> Request:
    return Request(body, frozenset({name}))


_CHECKOUT = {"feature_service": "checkout"}

REFUSED: tuple[Request, ...] = (
    Request(_ask(("nope:x",))),
    Request(_ask(("scores:nope",))),
    Request(_ask(("ratio:nope",))),
    Request(_ask(("scores",))),
    Request(_ask(("scores@v1:score",))),
    Request(_ask(("scores:score", "scores:score"))),
    Request(_ask(())),
    Request({"feature_service": "nope", "entities": {"customer_id": [1]}}),
    Request({"entities": {"customer_id": [1]}}),
    Request({"features": ["scores:score"]}),
    Request(_ask(features="scores:score")),
    Request(_ask(features=[1])),
    Request([1]),
    Request(_ask(full_feature_names=None)),
    Request(_ask(entities={})),
    Request(_ask(entities={"customer_id": []})),
    Request(_ask(entities={"customer_id": 1})),
    Request(_ask(entities={"customer_id": [None]})),
    Request(_ask(entities={"customer_id": ["x"]})),
    Request(_ask(entities={"customer_id": [[1]]})),
    Request(_ask(entities={"customer_id": [2**63]})),
    Request(_ask(entities={"store": ["store-1"]})),
    Request(_ask(("stock:label", "profile:city"))),
    Request(_ask(("visits:spent",), entities={"customer_id": [1, 2], "store": ["store-1"]})),
    Request({**_CHECKOUT, "entities": {"customer_id": [1]}}),
    Request({**_CHECKOUT, "entities": {"customer_id": [1], "amount": ["x"], "n": [1]}}),
    Request({"feature_service": "transfers", "entities": {"origin_store": ["store-1"]}}),
    _shows("strict-keys", _ask(entities={"customer_id": ["1"]})),
    _shows("strict-keys", _ask(entities={"customer_id": [1.7]})),
    _shows("strict-keys", _ask(entities={"customer_id": [True]})),
    _shows("strict-keys", _ask(("stock:label",), entities={"store": [1]})),
    _shows("entity-name", _ask(entities={"customer": [1]})),
    _shows("missing-key", _ask(("visits:spent",))),
    _shows("strict-flags", _ask(full_feature_names="yes")),
    _shows("strict-flags", _ask(include_feature_view_version_metadata=1)),
    _shows("extra-columns", _ask(entities={"customer_id": [1, 2], "note": ["one"]})),
    _shows(
        "request-data",
        {
            **_CHECKOUT,
            "full_feature_names": False,
            "entities": {"customer_id": [1, 2], "amount": [3, 0.5], "n": [1, 1]},
        },
    ),
)
