"""The requests of a case: many different ones, drawn once, the same for every contender."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.online.data import OnlineDataset
from benchmarks.online.rows import key_array, unknown_keys
from benchmarks.serving.cases import ServingCase

__all__ = ["request_bodies"]

_COLD_SHARE = 0.10
_UNKNOWN_SHARE = 0.05
_N_UNKNOWN = 1_000
_ZIPF_EXPONENT = 1.2


def request_bodies(
    case: ServingCase, dataset: OnlineDataset, *, count: int, seed: int
) -> list[str]:
    """Draw request bodies, each a line of JSON.

    Args:
        case: The shape of the requests.
        dataset: Whose entities are asked for.
        count: How many.
        seed: Of the data; another one gives other keys where keys are text.
    """
    rng = np.random.default_rng((seed, case.n_entity_rows, case.n_views))
    keys = _draw_keys(case, dataset, count * case.n_entity_rows, rng, seed=seed)
    constant = {"features": dataset.refs, "full_feature_names": case.n_views > 1}
    return [
        json.dumps(
            constant | {"entities": {dataset.case.key_column: keys[first : first + n_rows]}},
            separators=(",", ":"),
        )
        for n_rows in (case.n_entity_rows,)
        for first in range(0, len(keys), n_rows)
    ]


def _draw_keys(
    case: ServingCase,
    dataset: OnlineDataset,
    count: int,
    rng: np.random.Generator,
    *,
    seed: int,
) -> Sequence[Any]:
    n_entities = dataset.case.n_entities
    keys = key_array(dataset.case, seed=seed)
    if case.draw == "uniform":
        drawn: list[Any] = keys.take(rng.integers(0, n_entities, count)).to_pylist()
        return drawn
    # The ranks of a Zipf draw, spread over all entities so that neighbours are not hot together.
    numbers = (rng.zipf(_ZIPF_EXPONENT, count) * 7_919) % n_entities
    is_cold = rng.random(count) < _COLD_SHARE
    numbers[is_cold] = rng.integers(0, n_entities, int(is_cold.sum()))
    known = keys.take(numbers).to_pylist()
    strangers = unknown_keys(dataset.case, _N_UNKNOWN, seed=seed).to_pylist()
    is_unknown = rng.random(count) < _UNKNOWN_SHARE
    picks = rng.integers(0, _N_UNKNOWN, count)
    return [
        strangers[pick] if unknown else key
        for key, unknown, pick in zip(known, is_unknown, picks, strict=True)
    ]
