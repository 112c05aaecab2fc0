from __future__ import annotations

import pytest

from serving.errors import NotAcceptableError
from serving.native.media_type import Form, choose_form, read_content_type

ARROW, PACK, JSON = Form.ARROW.value, Form.MESSAGE_PACK.value, Form.JSON.value


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, Form.JSON),
        ("", Form.JSON),
        ("*/*", Form.JSON),
        ("application/*", Form.JSON),
        (PACK, Form.MESSAGE_PACK),
        (ARROW, Form.ARROW),
        ("APPLICATION/MSGPACK", Form.MESSAGE_PACK),
        (f"{ARROW};q=0.5, {PACK};q=0.9", Form.MESSAGE_PACK),
        (f"{ARROW}; q=0.9 ,{PACK};q=0.5", Form.ARROW),
        (f"{PACK}, */*", Form.MESSAGE_PACK),
        (f"*/*, {ARROW}", Form.ARROW),
        (f"{ARROW}, {JSON}", Form.ARROW),
        (f"{JSON};q=0, */*", Form.MESSAGE_PACK),
        (f"{JSON};q=0.1, */*;q=0.2", Form.MESSAGE_PACK),
        (f"text/html, {JSON};q=0.9, */*;q=0.1", Form.JSON),
        (f"{PACK};q=nonsense, {JSON};q=0.1", Form.JSON),
    ],
)
def test_the_best_liked_form_is_chosen(accept: str | None, form: Form) -> None:
    assert choose_form(accept).form is form


def test_an_older_name_is_answered_by_that_name() -> None:
    chosen = choose_form("application/x-msgpack")
    assert (chosen.form, chosen.media_type) == (Form.MESSAGE_PACK, "application/x-msgpack")


@pytest.mark.parametrize(
    "accept",
    ["text/html", "image/*", f"{JSON};q=0", "*/*;q=0", "json", ",", "*/json", f"{JSON};q=2"],
)
def test_what_nobody_has_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptableError) as raised:
        choose_form(accept)
    assert ARROW in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        (None, Form.JSON),
        ("application/json; charset=utf-8", Form.JSON),
        ("Application/MsgPack", Form.MESSAGE_PACK),
        ("application/x-msgpack", Form.MESSAGE_PACK),
        (ARROW, None),
        ("text/plain", None),
        ("application/x-www-form-urlencoded", None),
    ],
)
def test_forms_of_bodies(content_type: str | None, form: Form | None) -> None:
    assert read_content_type(content_type) is form
