"""Valid requests, spoilt: a seeded generator makes each, so that a find can be made again."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["HOSTILE_TEXTS", "Spoiler", "render"]


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON text that no Python value renders to."""

    text: str


class Pairs(list[tuple[Any, Any]]):
    """An object by its pairs, so that a name may stand twice."""


HOSTILE_TEXTS = (
    "null", "true", "false", "0", "-1", "-0", "1.7", "9007199254740993", "2147483648",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "1" + "0" * 400, "1e400", "-1e400", "1e-400", "1e19", "1.0", "NaN", "Infinity", "-Infinity",
    "[]", "{}", '""', '"1"', '" "', '"null"', '"NaN"', '"\\ud800"', '"\\udc00\\ud800"',
    '"\\ud83d\\ude00"', '"\\u0000"', '"a\\r\\nx: y"', '"../../etc/passwd"', '"%00%0a"', '"{}"',
    '"' + "a" * 5000 + '"', '"' + "\\u00fc" * 3000 + '"', "[" * 40 + "]" * 40,
    "[" * 2000 + "]" * 2000, '{"a":' * 500 + "1" + "}" * 500, "[[1],[2]]", '{"customer_id":1}',
    '["numbers:f_int64","numbers:f_int64"]', '"numbers:f_int64"', '"numbers:"', '":f_int64"',
    '"numbers:f_int64:x"', '"numbers@v1:f_int64"', '"numbers@latest:f_int64"', '"numbers:nope"',
    '"spend:ratio"', '"all_types"', '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999999Z"',
    '"2024-01-01T00:00:00+99:99"', '"2024-13-45"', '"AP8="', '"not base64!"', "tru", "01", "+1",
    "'1'", "/* */", "1,2", "-", "\x00",
)  # fmt: skip


class Spoiler:
    """Spoils JSON bodies.

    Args:
        seed: Decides everything.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def body(self, valid: Any) -> bytes:
        """Make a body that is one, two or three mutations away from a valid one."""
        document = _pairs(copy.deepcopy(valid))
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            document = self._mutate(document)
        body = render(document).encode("utf-8", "surrogatepass")
        return self._random.choice(_BYTES)(self._random, body) if self._chance(0.15) else body

    def headers(self) -> dict[str, str]:
        """Make headers, most of the time none that matter."""
        return dict(self._random.sample(_HEADERS, self._random.choice((0, 0, 1, 2))))

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _mutate(self, document: Any) -> Any:
        holders = [(holder, i) for holder, i in _places(document)]
        if not holders or self._chance(0.03):
            return Raw(self._random.choice(HOSTILE_TEXTS))
        holder, i = self._random.choice(holders)
        self._random.choice(_MUTATIONS)(self._random, holder, i)
        return document


def render(node: Any) -> str:
    """Render what `Spoiler` makes; valid documents as well."""
    if isinstance(node, Raw):
        return node.text
    if isinstance(node, Pairs):
        return "{" + ",".join(f"{render(name)}:{render(value)}" for name, value in node) + "}"
    if isinstance(node, list):
        return "[" + ",".join(map(render, node)) + "]"
    return json.dumps(node, separators=(",", ":"))


def _pairs(node: Any) -> Any:
    if isinstance(node, dict):
        return Pairs((name, _pairs(value)) for name, value in node.items())
    return [_pairs(item) for item in node] if isinstance(node, list) else node


def _places(node: Any) -> Iterator[tuple[list[Any], int]]:
    if isinstance(node, list):
        for i, item in enumerate(node):
            yield node, i
            yield from _places(item[1] if isinstance(node, Pairs) else item)


_Mutation = Callable[[random.Random, list[Any], int], None]


def _replace(chosen: random.Random, holder: list[Any], i: int) -> None:
    hostile = Raw(chosen.choice(HOSTILE_TEXTS))
    holder[i] = (holder[i][0], hostile) if isinstance(holder, Pairs) else hostile


def _rename(chosen: random.Random, holder: list[Any], i: int) -> None:
    if isinstance(holder, Pairs):
        texts = [text for text in HOSTILE_TEXTS if text.startswith('"')]
        holder[i] = (Raw(chosen.choice(texts)), holder[i][1])
    else:
        _replace(chosen, holder, i)


def _remove(_chosen: random.Random, holder: list[Any], i: int) -> None:
    del holder[i]


def _repeat(chosen: random.Random, holder: list[Any], i: int) -> None:
    # An object's name stands twice; a list becomes longer, now and then too long.
    n_times = 1 if isinstance(holder, Pairs) else chosen.choice((1, 2, 50, 3000))
    holder[i:i] = [holder[i]] * n_times


def _insert(chosen: random.Random, holder: list[Any], i: int) -> None:
    hostile = Raw(chosen.choice(HOSTILE_TEXTS))
    holder.insert(i, (chosen.choice(_NAMES), hostile) if isinstance(holder, Pairs) else hostile)


def _wrap(_chosen: random.Random, holder: list[Any], i: int) -> None:
    holder[i] = (holder[i][0], [holder[i][1]]) if isinstance(holder, Pairs) else [holder[i]]


_NAMES = (
    "feature_service", "features", "entities", "entity_rows", "full_feature_names", "as_of",
    "on_error", "customer_id", "amount", "include_feature_view_version_metadata", "", "__proto__",
    "df", "to", "push_source_name",
)  # fmt: skip
_MUTATIONS: tuple[_Mutation, ...] = (_replace, _replace, _replace, _rename, _remove, _repeat,
                                     _insert, _wrap)  # fmt: skip


def _truncated(chosen: random.Random, body: bytes) -> bytes:
    return body[: chosen.randrange(len(body) + 1)]


def _flipped(chosen: random.Random, body: bytes) -> bytes:
    i = chosen.randrange(len(body) or 1)
    return body[:i] + bytes([chosen.randrange(256)]) + body[i + 1 :]


_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _truncated,
    _flipped,
    lambda _chosen, body: b"\xef\xbb\xbf" + body,
    lambda _chosen, body: body + b"\xff\xfe",
    lambda _chosen, body: body + body,
    lambda _chosen, body: gzip.compress(body, mtime=0),
    lambda _chosen, body: body.decode("utf-8", "replace").encode("utf-16"),
    lambda chosen, _body: chosen.randbytes(200),
    lambda _chosen, _body: b"",
)
_HEADERS = (
    ("content-type", "application/json"),
    ("content-type", "text/plain"),
    ("content-type", "application/msgpack"),
    ("content-type", "application/vnd.apache.arrow.stream"),
    ("content-type", "multipart/form-data; boundary=x"),
    ("content-type", "application/json; charset=utf-16"),
    ("content-type", "\xff"),
    ("content-encoding", "gzip"),
    ("accept", "*/*"),
    ("accept", "application/msgpack"),
    ("accept", "application/vnd.apache.arrow.stream"),
    ("accept", "image/png"),
    ("accept", "application/json;q=0, */*;q=abc"),
    ("accept", ",;=,"),
    ("authorization", "Bearer nonsense"),
    ("authorization", "Basic \xff"),
    ("x-api-key", "x" * 3000),
    ("x-request-id", "a" * 300),
    ("x-request-id", "id\x7f\xe9"),
    ("traceparent", "00-nonsense"),
    ("cookie", "a=b"),
)
