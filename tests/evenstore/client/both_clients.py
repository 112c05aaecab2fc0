"""Calls made by either client, so that one test holds for both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from evenstore.client.http import AsyncFeatureClient, FeatureClient
from evenstore.errors import EvenstoreError

__all__ = ["Caller"]


class Caller:
    """Makes calls with one client of its own, blocking or asynchronous."""

    def __init__(self, *, is_async: bool) -> None:
        self._is_async = is_async

    def __call__(self, url: str, method: str, /, *arguments: Any, **options: Any) -> Any:
        """Make one call; options named `client_...` are the client's."""
        (result,) = self.many(url, 1, method, *arguments, **options)
        if isinstance(result, Exception):
            raise result
        return result

    def many(self, url: str, n: int, method: str, /, *arguments: Any, **options: Any) -> list[Any]:
        """Make calls one after the other; an error stands in its place in the list."""
        opening: dict[str, Any] = {"retries": None}
        for name in list(options):
            if name.startswith("client_"):
                opening[name.removeprefix("client_")] = options.pop(name)
        if self._is_async:
            return asyncio.run(
                _calls(AsyncFeatureClient(url, **opening), n, method, (arguments, options))
            )
        results: list[Any] = []
        with FeatureClient(url, **opening) as client:
            for _ in range(n):
                try:
                    results.append(getattr(client, method)(*arguments, **options))
                except EvenstoreError as exc:
                    results.append(exc)
        return results


async def _calls(
    opened: AsyncFeatureClient,
    n: int,
    method: str,
    given: tuple[tuple[Any, ...], Mapping[str, Any]],
) -> list[Any]:
    arguments, options = given
    results: list[Any] = []
    async with opened as client:
        for _ in range(n):
            try:
                results.append(await getattr(client, method)(*arguments, **options))
            except EvenstoreError as exc:
                results.append(exc)
    return results
