"""What holds for every answer, whatever was sent."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from tests.serving.fuzz.raw_http import Answer

__all__ = ["judge", "judge_error", "memory_bytes"]

_CODE = re.compile(r"[a-z][a-z-]*[a-z]")
_FIRST_SERVER_ERROR = 500
_FIRST_ERROR = 400


def judge(answer: Answer, sent: object) -> None:
    """Fail on a server error and on an error of another shape.

    Args:
        answer: What came back.
        sent: What it answers, for the message.
    """
    told = (answer.status, answer.body[:500], str(sent)[:500])
    assert answer.status < _FIRST_SERVER_ERROR, told
    if answer.status >= _FIRST_ERROR:
        judge_error(answer, told)


def judge_error(answer: Answer, told: object = "") -> dict[str, Any]:
    """Fail unless an answer has the one shape of errors; returns what stands in it."""
    assert answer.headers.get("content-type") == "application/json", told
    document = answer.json()
    assert list(document) == ["error"], told
    error: dict[str, Any] = document["error"]
    assert sorted(error) == ["code", "details", "hint", "message"], told
    assert _CODE.fullmatch(error["code"]), told
    assert isinstance(error["message"], str), told
    assert error["message"], told
    assert error["hint"] is None or isinstance(error["hint"], str), told
    assert isinstance(error["details"], dict), told
    return error


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(listed.stdout) * 1024
