"""The two forms of an answer, as the same cells per entity row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

__all__ = ["Cell", "feast_body", "feast_cells", "native_body", "native_cells"]

Cell = tuple[Any, str, datetime]
"""Value, status and event timestamp of one feature."""


def feast_body(keys: Sequence[int]) -> dict[str, Any]:
    return {"feature_service": "both", "entities": {"customer_id": list(keys)}}


def native_body(keys: Sequence[int]) -> dict[str, Any]:
    return {"feature_service": "both", "entity_rows": [{"customer_id": key} for key in keys]}


def feast_cells(answer: dict[str, Any], keys: Sequence[int]) -> list[dict[str, Cell]]:
    """Read an answer of `POST /get-online-features`."""
    names = answer["metadata"]["feature_names"]
    columns = dict(zip(names, answer["results"], strict=True))
    assert columns.pop("customer_id")["values"] == list(keys)
    return [
        {
            name: (
                column["values"][i],
                column["statuses"][i],
                datetime.fromisoformat(column["event_timestamps"][i]),
            )
            for name, column in columns.items()
        }
        for i in range(len(keys))
    ]


def native_cells(answer: dict[str, Any], keys: Sequence[int]) -> list[dict[str, Cell]]:
    """Read an answer of `POST /v1/feature-vectors`; a feature's name begins with its view's."""
    assert not answer["degraded"]
    vectors = answer["feature_vectors"]
    assert [vector["keys"] for vector in vectors] == [{"customer_id": key} for key in keys]
    rows = []
    for vector in vectors:
        assert vector["error"] is None
        instants = {
            view: datetime.fromisoformat(text) for view, text in vector["event_timestamps"].items()
        }
        cells = zip(answer["feature_names"], vector["values"], vector["statuses"], strict=True)
        rows.append(
            {name: (value, status, instants[name.split("_")[0]]) for name, value, status in cells}
        )
    return rows
