"""Both clients take the same: what the docstrings of the asynchronous one refer to."""

from __future__ import annotations

import inspect
from typing import Any

from evenstore.client.http import AsyncFeatureClient, FeatureClient


def _calls(client: type[object]) -> dict[str, tuple[list[inspect.Parameter], Any]]:
    methods = inspect.getmembers(client, inspect.isfunction)
    signatures = {
        name: inspect.signature(method)
        for name, method in methods
        if name == "__init__" or not name.startswith("_")
    }
    return {
        name: (list(signature.parameters.values()), signature.return_annotation)
        for name, signature in signatures.items()
    }


def test_the_asynchronous_twin_has_the_same_methods_and_arguments() -> None:
    blocking = _calls(FeatureClient)
    assert "get_online_features" in blocking
    assert _calls(AsyncFeatureClient) == blocking
