"""Which form an answer takes, and which a request has: HTTP content negotiation."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from serving.errors import NotAcceptableError

__all__ = ["ChosenForm", "Form", "choose_form", "read_content_type"]


class Form(enum.Enum):
    """A form of answers, by its media type; all are complete and exact."""

    JSON = "application/json"
    MESSAGE_PACK = "application/msgpack"
    ARROW = "application/vnd.apache.arrow.stream"


_FORMS = {
    **{form.value: form for form in Form},
    "application/vnd.msgpack": Form.MESSAGE_PACK,
    "application/x-msgpack": Form.MESSAGE_PACK,
}
_MAX_RANGES = 32


@dataclass(frozen=True, slots=True)
class ChosenForm:
    """The form of an answer and the name that the caller has for it."""

    form: Form
    media_type: str


_JSON = ChosenForm(Form.JSON, Form.JSON.value)
_USUAL = {None: _JSON, "": _JSON, "*/*": _JSON} | {
    name: ChosenForm(form, name) for name, form in _FORMS.items()
}


def choose_form(accept: str | None) -> ChosenForm:
    """Choose the form that a request's `Accept` header likes best; JSON where it does not say.

    The greatest q-value wins; among equals the more specific range, then the earlier one, then
    JSON before MessagePack before Arrow. A q-value of 0 excludes.

    Raises:
        NotAcceptableError: It accepts none of them.
    """
    usual = _USUAL.get(accept)
    if usual is not None:
        return usual
    ranges = [_MediaRange.parse(text, i) for i, text in enumerate((accept or "").split(","))]
    best: tuple[tuple[float, int, int], str] | None = None
    for name in _FORMS:
        matching = [each for each in ranges[:_MAX_RANGES] if each.matches(name)]
        if not matching:
            continue
        # The most specific range that matches decides the quality (RFC 9110, section 12.5.1).
        closest = max(matching, key=lambda each: each.specificity)
        rank = (closest.quality, closest.specificity, -closest.position)
        if closest.quality > 0 and (best is None or rank > best[0]):
            best = rank, name
    if best is None:
        msg = f"no form of this answer is acceptable: {accept}"
        raise NotAcceptableError(msg, hint=f"accept {' or '.join(form.value for form in Form)}")
    return ChosenForm(_FORMS[best[1]], best[1])


def read_content_type(content_type: str | None) -> Form | None:
    """Return the form of a request's body; JSON where nobody says, None for any that is unknown."""
    name = (content_type or "").partition(";")[0].strip().lower()
    form = Form.JSON if not name else _FORMS.get(name)
    return None if form is Form.ARROW else form


@dataclass(frozen=True, slots=True)
class _MediaRange:
    """One part of an `Accept` header."""

    kind: str
    subkind: str
    quality: float
    position: int

    @classmethod
    def parse(cls, text: str, position: int) -> _MediaRange:
        name, *parameters = (part.strip().lower() for part in text.split(";"))
        kind, _, subkind = name.partition("/")
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = _read_quality(value.strip())
        return cls(kind, subkind, quality, position)

    @property
    def specificity(self) -> int:
        return (self.kind != "*") + (self.subkind != "*")

    def matches(self, name: str) -> bool:
        kind, _, subkind = name.partition("/")
        return (self.kind == "*" and self.subkind == "*") or (
            self.kind == kind and self.subkind in {"*", subkind}
        )


def _read_quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
