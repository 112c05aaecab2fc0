"""A body of which only the list is parsed must say what the whole of it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import InvalidRequestError
from serving.hot.feast_request import FeastRequest, parse_feast_request
from serving.hot.known_bodies import KnownBodies
from tests.support.scale import scaled

# What JSON is made of, and what could be taken for a part of it.
_TEXT = st.text(alphabet='[]{}",:\\ ak1\u00e9', max_size=6)
_VALUES = st.recursive(
    st.none() | st.integers(-3, 3) | _TEXT, lambda inner: st.lists(inner, max_size=2), max_leaves=4
)
_LISTS = st.lists(_VALUES, max_size=3)


@st.composite
def bodies(draw: st.DrawFn, name: str, column: Any) -> bytes:
    """Draw a request for one column, in any order, with more around it."""
    entities = json.dumps({name: column}, ensure_ascii=draw(st.booleans()))
    parts = [
        '"entities":' + entities,
        *draw(
            st.lists(
                st.sampled_from(
                    (
                        '"feature_service":"s"',
                        '"feature_service":"[s]"',
                        '"features":["a:b","c:d"]',
                        '"full_feature_names":true',
                        '"entities":{"other":[1]}',
                        '"more":[[1],{"entities":{"k":[]}}]',
                    )
                ),
                max_size=4,
            )
        ),
    ]
    return ("{" + ", ".join(draw(st.permutations(parts))) + "}").encode()


def _parse(body: bytes) -> FeastRequest | None:
    try:
        return parse_feast_request(body)
    except InvalidRequestError:
        return None


def _but_entities(request: FeastRequest) -> tuple[Any, ...]:
    return (
        *(request.feature_service, tuple(request.features)),
        *(request.full_feature_names, request.lists_views),
    )


@settings(max_examples=scaled(200, 5_000))
@given(st.data(), _TEXT, _LISTS, st.lists(_LISTS, min_size=1, max_size=4))
def test_known_body_says_what_the_whole_of_it_says(
    data: st.DataObject, name: str, first: list[Any], others: list[list[Any]]
) -> None:
    known: KnownBodies[tuple[Any, ...]] = KnownBodies()
    body = data.draw(bodies(name, first))
    request = _parse(body)
    if request is None:
        return
    known.note(body, request, _but_entities(request))
    text = json.dumps(first).encode()
    for other in others:
        # Cut in as text: where the list stands as such, and where it only looks like it.
        changed = body.replace(text, json.dumps(other).encode())
        found = known.find(changed)
        if found is not None:
            whole = parse_feast_request(changed)
            assert found == (_but_entities(whole), whole.entities)


@pytest.mark.parametrize(
    "column",
    [b'1],"full_feature_names":[true', b"1]]", b"[1", b"1,", b'"\xff"', b"1]}}{[", b'"]"', b""],
)
def test_what_only_looks_like_the_list_is_parsed_as_a_whole(column: bytes) -> None:
    known: KnownBodies[str] = KnownBodies()
    body = b'{"feature_service":"s","entities":{"k":[1]}}'
    known.note(body, parse_feast_request(body), "asked")
    assert known.find(body) == ("asked", {"k": [1]})
    changed = body.replace(b"[1]", b"[" + column + b"]")
    found, whole = known.find(changed), _parse(changed)
    assert found is None or (whole is not None and found == ("asked", whole.entities))


def test_several_columns_are_not_noted() -> None:
    """What is before the last of them differs from request to request."""
    known: KnownBodies[str] = KnownBodies()
    body = b'{"feature_service":"s","entities":{"a":[1],"b":[1]}}'
    known.note(body, parse_feast_request(body), "asked")
    assert known.find(body) is None


def test_column_that_is_the_mark_is_not_noted() -> None:
    """Its place could not be told from the marked one."""
    known: KnownBodies[str] = KnownBodies()
    body = b'{"entities":{"k":[[[]]]},"features":["v:x"]}'
    known.note(body, parse_feast_request(body), "asked")
    assert known.find(body.replace(b"v:x", b"v:y")) is None


def test_bodies_kept_are_bounded() -> None:
    known: KnownBodies[int] = KnownBodies()
    long = b'{"feature_service":"%b","entities":{"k":[1]}}' % (b"s" * 5_000)
    known.note(long, parse_feast_request(long), 0)
    assert known.find(long) is None
    for i in range(1_000):
        body = b'{"feature_service":"%d","entities":{"k":[1]}}' % i
        known.note(body, parse_feast_request(body), i)
    assert len(known._bodies) <= 256
    assert known.find(body) == (999, {"k": [1]})
