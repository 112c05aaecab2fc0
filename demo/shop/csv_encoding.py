"""Tells the encoding of a CSV file, or that it is no text."""

from __future__ import annotations

import re
from pathlib import Path

from evenstore.errors import TransformError

__all__ = ["find_encoding"]

# Tab, line feed and carriage return are text. So is a next line (0x85) in UTF-8, where the bytes
# 0x80 to 0x9F are parts of characters; alone, in Latin-1, they are controls that no one types.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LATIN_1_CONTROL = re.compile(rb"[\x80-\x9f]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_HINT = "save it as CSV in UTF-8, or copy or download it again"


def find_encoding(path: Path, content: bytes) -> str:
    """Return the codec of a file: `utf-8-sig`, which allows a byte order mark, or `latin-1`.

    Any bytes can be read as Latin-1. So a file counts as that only if nothing in it looks like
    UTF-8: one damaged byte must not turn every pound sign of the file into two characters.

    Raises:
        TransformError: There are control characters, or the bytes fit neither encoding.
    """
    control = _CONTROL.search(content)
    if control is not None:
        raise _refused(path, content, control.start(), "is a control character, not text")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as exc:
        start = exc.start
    else:
        return "utf-8-sig"
    if any(_is_utf_8(run) for run in _NOT_ASCII.findall(content)):
        raise _refused(path, content, start, "is not UTF-8, as the rest of the file is")
    control = _LATIN_1_CONTROL.search(content)
    if control is not None:
        raise _refused(path, content, control.start(), "is neither UTF-8 nor Latin-1")
    return "latin-1"


def _is_utf_8(run: bytes) -> bool:
    try:
        run.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refused(path: Path, content: bytes, start: int, what: str) -> TransformError:
    before = content[:start]
    line = 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
    msg = f"`{path}` line {line}: the byte 0x{content[start]:02X} {what}"
    return TransformError(msg, hint=_HINT)
