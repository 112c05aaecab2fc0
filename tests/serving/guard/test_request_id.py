from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from serving.guard.request_id import REQUEST_ID, RequestIds


@pytest.fixture(autouse=True)
def _no_id_is_left() -> Iterator[None]:
    yield
    REQUEST_ID.set(b"")


@pytest.mark.parametrize("asked", [b"a", b"7f3c-11/x:y+z=@_.", b"a" * 128])
def test_a_sane_id_is_kept(asked: bytes) -> None:
    assert RequestIds().take(asked) == asked
    assert REQUEST_ID.get() == asked


@pytest.mark.parametrize("asked", [None, b"", b"a" * 129, b"a b", b'a"b', b"a\r\nb", b"\xc3\xa9"])
def test_any_other_is_replaced(asked: bytes | None) -> None:
    assert re.fullmatch(rb"[0-9a-f]{12}-1", RequestIds().take(asked))


def test_made_ids_differ_within_and_between_processes() -> None:
    made = [ids.take(None) for ids in (RequestIds(), RequestIds()) for _ in range(100)]
    assert len(set(made)) == 200
