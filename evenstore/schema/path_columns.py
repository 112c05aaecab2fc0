"""Columns that live in the paths of files: `country=GB/day=2024-01-01/part.parquet`.

A path holds text. It is read strictly as the declared type of the join key, feature or timestamp
that it stands for; a value that is not of that type is refused with its path. Names that nothing
declares are ignored. A column that the files have themselves is read from the files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.clock import datetime_to_us
from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, UnsupportedDtypeError
from evenstore.schema.arrow import is_exact_widening
from evenstore.schema.files import PathColumn, PathValue

__all__ = ["LoggedValues", "PathTexts", "PathValues", "read_path_texts"]

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark and DuckDB call the folder of null."""

_FOLDERS = re.compile(r"(?<=/)[^/=]+=[^/]*(?=/)")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?i:nan|inf)")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class PathTexts:
    """The values of one name in the paths of some files.

    Attributes:
        name: The name before the `=`.
        texts: Decoded, None for null; by the index of the file.
        paths: All files.
    """

    name: str
    texts: Mapping[int, str | None]
    paths: tuple[str, ...]

    @property
    def natural_dtype(self) -> Dtype:
        """Int64 where all values are plain integers, else String: for reads without declaration."""
        texts = [text for text in self.texts.values() if text is not None]
        plain = all(_INTEGER.fullmatch(text) and str(int(text)) == text for text in texts)
        return Dtype.INT64 if plain and texts else Dtype.STRING

    def read_as(self, dtype: Dtype, *, where: str) -> PathColumn:
        """Read the values as a declared type.

        Raises:
            SchemaError: A path does not have the name, or a value is not of the type.
            UnsupportedDtypeError: Values of the type cannot live in a path.
        """
        parse = _PARSERS.get(dtype)
        if parse is None:
            msg = f"{where}: column `{self.name}` is in the paths of its files only, declared"
            msg += f" {dtype.value}"
            raise UnsupportedDtypeError(msg, hint="write it as a column of the files")
        known: dict[str | None, PathValue] = {None: None}
        values = []
        for index, path in enumerate(self.paths):
            if index not in self.texts:
                msg = f"{where}: `{path}` has no column `{self.name}`, not in its path either"
                raise SchemaError(msg, hint=f"put it into a folder `{self.name}=...`")
            text = self.texts[index]
            if text not in known:
                known[text] = self._parse_one(parse, str(text), dtype, path, where)
            values.append(known[text])
        return PathColumn(self.name, dtype, tuple(values))

    def _parse_one(
        self, parse: Callable[[str], PathValue], text: str, dtype: Dtype, path: str, where: str
    ) -> PathValue:
        try:
            return parse(text)
        except ValueError as exc:
            msg = f"{where}: `{self.name}` is {text!r} in `{path}`, declared {dtype.value}"
            raise SchemaError(msg, hint="rename the folder, or declare another type") from exc


@dataclass(frozen=True, slots=True)
class LoggedValues:
    """The values of one partition column as a table's log has them, typed there.

    Attributes:
        name: The column.
        values: One for each file.
        paths: All files.
    """

    name: str
    values: Any
    paths: tuple[str, ...]

    @property
    def natural_dtype(self) -> Dtype:
        """The declared type nearest to the log's: for reads without declaration."""
        fitting = (Dtype.INT64, Dtype.FLOAT64, Dtype.BOOL, Dtype.STRING, Dtype.UNIX_TIMESTAMP)
        return next((d for d in fitting if is_exact_widening(self.values.type, d)), Dtype.STRING)

    def read_as(self, dtype: Dtype, *, where: str) -> PathColumn:
        """Read the values as a declared type.

        Raises:
            UnsupportedDtypeError: The log's type cannot be widened exactly to it.
        """
        found = self.values.type
        if dtype not in _PARSERS or not is_exact_widening(found, dtype):
            msg = f"{where}: partition column `{self.name}` is {found}, declared {dtype.value}"
            raise UnsupportedDtypeError(msg, hint=f"declare it as the table does: {found}")
        values = self.values
        if dtype is Dtype.UNIX_TIMESTAMP:
            if not pa.types.is_timestamp(found) or found.unit != "ns":
                values = values.cast(pa.timestamp("us", getattr(found, "tz", None)))
            raw = values.cast(pa.int64()).to_pylist()
            ns = values.type.unit == "ns"
            return PathColumn(
                self.name, dtype, tuple(v if v is None else v // (1000 if ns else 1) for v in raw)
            )
        if pa.types.is_dictionary(found):
            values = pc.cast(values, found.value_type)
        return PathColumn(self.name, dtype, tuple(values.to_pylist()))


PathValues = PathTexts | LoggedValues


def read_path_texts(paths: Sequence[str], *, where: str) -> dict[str, PathTexts]:
    """Read all `name=value` folders of some paths.

    Raises:
        SchemaError: A path has one name twice.
    """
    found: dict[str, dict[int, str | None]] = {}
    folders: dict[str, tuple[str, str | None]] = {}
    for index, path in enumerate(paths):
        for folder in _FOLDERS.findall(path):
            if folder not in folders:
                name, _, text = folder.partition("=")
                folders[folder] = unquote(name), None if text == HIVE_NULL else unquote(text)
            name, value = folders[folder]
            values = found.setdefault(name, {})
            if index in values:
                msg = f"{where}: `{path}` has `{name}` twice in its path"
                raise SchemaError(msg, hint="rename one of the folders")
            values[index] = value
    every = tuple(paths)
    return {name: PathTexts(name, texts, every) for name, texts in found.items()}


def _integer(bits: int) -> Callable[[str], PathValue]:
    def parse(text: str) -> PathValue:
        if not _INTEGER.fullmatch(text):
            raise ValueError(text)
        value = int(text)
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            raise ValueError(text)
        return value

    return parse


def _number(text: str) -> PathValue:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    value = float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise ValueError(text)
    return value


def _bool(text: str) -> PathValue:
    if text.lower() not in _BOOLS:
        raise ValueError(text)
    return _BOOLS[text.lower()]


def _instant_us(text: str) -> PathValue:
    if not _INSTANT.fullmatch(text):
        raise ValueError(text)
    if len(text) == len("2024-01-01"):
        instant = datetime.combine(date.fromisoformat(text), time())
    else:
        instant = datetime.fromisoformat(text)
    return datetime_to_us(instant, naive_is_utc=True)


_PARSERS: dict[Dtype, Callable[[str], PathValue]] = {
    Dtype.STRING: str,
    Dtype.INT32: _integer(32),
    Dtype.INT64: _integer(64),
    Dtype.FLOAT32: _number,
    Dtype.FLOAT64: _number,
    Dtype.BOOL: _bool,
    Dtype.UNIX_TIMESTAMP: _instant_us,
}
