"""The tags of a Feast feature service that evenstore reads, checked.

```text
tag                                   text
evenstore.default.<view>:<feature>    the default, JSON; a text or instant also without quotes
evenstore.defaults                    a JSON object of such defaults by `<view>:<feature>`
evenstore.on_unavailable              closed (as without the tag) or open
evenstore.max_stale                   a duration: 90s, 15m, 2h, 1d, 1d12h
```

`<view>` is the view's name in the service. Every other tag that starts with `evenstore.` is
refused: a misspelt one would be silently without effect.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, UnsupportedDtypeError
from evenstore.schema.json_form import dump_value, value_reader
from evenstore.schema.model import FeatureDefault
from evenstore.schema.on_demand_values import coerce_value
from evenstore.semantics import OnUnavailable

__all__ = ["ServiceTags", "read_service_tags"]

_PREFIX = "evenstore."
_DEFAULT = "evenstore.default."
_DEFAULTS = "evenstore.defaults"
_ON_UNAVAILABLE = "evenstore.on_unavailable"
_MAX_STALE = "evenstore.max_stale"
_KNOWN = (f"{_DEFAULT}<view>:<feature>", _DEFAULTS, _ON_UNAVAILABLE, _MAX_STALE)

_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(?:\d{1,9}[smhd])+")
_DURATION_PART = re.compile(r"(\d+)([smhd])")
_TEXTUAL = frozenset({"String", "Uuid", "TimeUuid", "Decimal"})


@dataclass(frozen=True, slots=True)
class ServiceTags:
    """What a service's tags declare; see the fields of `FeatureServiceSchema`."""

    defaults: tuple[FeatureDefault, ...]
    on_unavailable: OnUnavailable
    max_stale_us: int


def read_service_tags(
    service: str, tags: Mapping[str, str], dtypes: Mapping[tuple[str, str], Dtype]
) -> ServiceTags:
    """Read and check the tags of one feature service.

    Args:
        service: Its name, for messages.
        tags: All its tags; those of others are passed over.
        dtypes: The declared type of each of its features, by (view's name in the service, feature),
            in the service's order.

    Raises:
        SchemaError: A tag is not known, names a feature that the service does not have, or has a
            text that means nothing; the message names the tag.
    """
    for tag in tags:
        if tag.startswith(_PREFIX) and not _is_known(tag):
            # All share the prefix, which would make any two of them alike.
            names = {known.removeprefix(_PREFIX): known for known in _KNOWN}
            near = difflib.get_close_matches(tag.removeprefix(_PREFIX), names, n=1)
            hint = f"did you mean `{names[near[0]]}`?" if near else f"known: {', '.join(_KNOWN)}"
            raise _refused(service, tag, "is not known", hint)
    found: dict[tuple[str, str], FeatureDefault] = {}
    for tag, reference, value in _declared_defaults(service, tags):
        view, _, feature = reference.partition(":")
        if (view, feature) in found:
            problem = f"declares a default of `{reference}`, which another tag declares too"
            raise _refused(service, tag, problem, "declare it once")
        dtype = dtypes.get((view, feature))
        if dtype is None:
            raise _refused(service, tag, *_unknown_feature(reference, dtypes))
        text = _read_default(service, tag, value, dtype)
        found[view, feature] = FeatureDefault(view, feature, text)
    return ServiceTags(
        defaults=tuple(found[name] for name in dtypes if name in found),
        on_unavailable=_read_on_unavailable(service, tags.get(_ON_UNAVAILABLE)),
        max_stale_us=_read_max_stale(service, tags.get(_MAX_STALE)),
    )


def _is_known(tag: str) -> bool:
    return tag.startswith(_DEFAULT) or tag in {_DEFAULTS, _ON_UNAVAILABLE, _MAX_STALE}


def _declared_defaults(
    service: str, tags: Mapping[str, str]
) -> Iterator[tuple[str, str, _Declared]]:
    for tag, text in tags.items():
        if tag.startswith(_DEFAULT):
            yield tag, tag.removeprefix(_DEFAULT), _Declared.of_text(text)
    if _DEFAULTS not in tags:
        return
    try:
        listed = json.loads(tags[_DEFAULTS])
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, dict):
        hint = 'write {"view:feature": value}'
        raise _refused(service, _DEFAULTS, "is no JSON object", hint)
    for reference, value in listed.items():
        yield _DEFAULTS, reference, _Declared(value, None)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A default as it was written: parsed, and its text where it stood alone."""

    value: Any
    text: str | None

    @staticmethod
    def of_text(text: str) -> _Declared:
        try:
            return _Declared(json.loads(text), text)
        except (ValueError, RecursionError):
            return _Declared(text, text)

    def for_type(self, dtype: Dtype) -> Any:
        """Return the value; `5` is a text where a text is declared."""
        if self.text is not None and dtype.value in _TEXTUAL and not isinstance(self.value, str):
            return self.text
        return self.value


def _read_default(service: str, tag: str, declared: _Declared, dtype: Dtype) -> str:
    value = declared.for_type(dtype)
    if value is None:
        problem = "declares null, which stands without a default, too"
        raise _refused(service, tag, problem, "leave the tag out")
    if dtype.holds_map:
        problem = f"declares a default of a {dtype.value}"
        raise _refused(service, tag, problem, "a map has no declared types: declare none")
    read = value_reader(dtype)
    try:
        coerced = coerce_value(value if read is None else read(value), dtype, where=f"`{tag}`")
    except UnsupportedDtypeError as exc:
        shown = declared.text if declared.text is not None else json.dumps(declared.value)
        problem = f"declares {shown!r}, which is not {dtype.value}"
        hint = 'write JSON of the declared type: 0, 1.5, true, "GB", [1, 2]'
        raise _refused(service, tag, problem, hint) from exc
    if isinstance(coerced, float) and math.isnan(coerced):
        problem = "declares NaN, which Feast's JSON renders as null"
        raise _refused(service, tag, problem, "declare a number")
    return dump_value(coerced, dtype)


def _unknown_feature(reference: str, dtypes: Mapping[tuple[str, str], Dtype]) -> tuple[str, str]:
    known = [f"{view}:{feature}" for view, feature in dtypes]
    near = difflib.get_close_matches(reference, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(known[:20])}"
    return f"names `{reference}`, which the service does not have", hint


def _read_on_unavailable(service: str, text: str | None) -> OnUnavailable:
    if text is None:
        return OnUnavailable.CLOSED
    try:
        return OnUnavailable(text)
    except ValueError as exc:
        allowed = " or ".join(choice.value for choice in OnUnavailable)
        raise _refused(service, _ON_UNAVAILABLE, f"is {text!r}", f"write {allowed}") from exc


def _read_max_stale(service: str, text: str | None) -> int:
    if text is None:
        return 0
    if _DURATION.fullmatch(text) is None:
        raise _refused(service, _MAX_STALE, f"is {text!r}", "write a duration: 90s, 15m, 2h, 1d12h")
    return sum(int(number) * _UNITS_US[unit] for number, unit in _DURATION_PART.findall(text))


def _refused(service: str, tag: str, problem: str, hint: str) -> SchemaError:
    msg = f"feature service `{service}`: tag `{tag}` {problem}"
    return SchemaError(msg, hint=hint)
