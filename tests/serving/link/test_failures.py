from __future__ import annotations

import hiredis
import pytest

from evenstore.errors import OnlineStoreError, OnlineStoreUnavailableError
from serving.link.failures import check, check_greeting


def replied(text: str) -> list[object]:
    """What hiredis makes of an error on the wire, between two other replies."""
    reader = hiredis.Reader()
    reader.feed(b"+OK\r\n-" + text.encode() + b"\r\n*1\r\n$1\r\na\r\n")
    return [reader.gets(), reader.gets(), reader.gets()]


@pytest.mark.parametrize(
    "text",
    [
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down",
        "BUSY Redis is busy running a script.",
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "ERR invalid password",
        "ERR max number of clients reached",
        "CLUSTERDOWN Hash slot not served",
        "MOVED 1234 127.0.0.1:7000",
    ],
)
def test_reply_that_says_not_now_is_unavailable(text: str) -> None:
    with pytest.raises(OnlineStoreUnavailableError) as caught:
        check(replied(text))
    assert text in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "NOPERM this user has no permissions to run the 'mget' command",
        "OOM command not allowed",
        "ERR unknown command",
    ],
)
def test_other_errors_are_refusals(text: str) -> None:
    with pytest.raises(OnlineStoreError) as caught:
        check(replied(text))
    assert type(caught.value) is OnlineStoreError


def test_replies_without_an_error_pass() -> None:
    check([b"a", None, 1, [b"b"]])
    check([])


def test_long_text_is_cut() -> None:
    with pytest.raises(OnlineStoreError) as caught:
        check(replied("ERR " + "x" * 10_000))
    assert len(caught.value.message) < 300


def test_user_without_the_right_to_ping_may_connect() -> None:
    (_, refused, _) = replied("NOPERM this user has no permissions to run the 'ping' command")
    check_greeting([b"OK", refused])
    with pytest.raises(OnlineStoreError):
        check_greeting([refused, b"PONG"])
