"""Declared names looked up in a source's files and paths, and checked against declared types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from feast.data_source import DataSource

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, UnsupportedDtypeError
from evenstore.schema.arrow import is_exact_widening
from evenstore.schema.files import PathColumn, TimestampColumn
from evenstore.schema.footer import Footer
from evenstore.schema.model import Field, fold_name
from evenstore.schema.path_columns import PathValues

__all__ = ["SourceColumns", "has_nanoseconds", "merge_types"]

_FILE_INDEX = "file_index"


class SourceColumns:
    """Looks declared names up in a source whose field mapping may call them otherwise.

    A column that some files have is read from the files; where none has it, from the paths. All
    files must agree on the type of a column that is used, and have the join keys and the event
    timestamp; a feature that a file lacks is null there, as it was not known yet.

    Args:
        where: The view or data source, for messages.
        source: For its field mapping.
        footers: Of all files.
        path_values: What the paths or a table's log say.
    """

    def __init__(
        self,
        where: str,
        source: DataSource,
        footers: Iterable[Footer],
        path_values: Mapping[str, PathValues],
    ) -> None:
        self._where = where
        self._source_column = {new: old for old, new in (source.field_mapping or {}).items()}
        # Most files of a source share one mapping: one file of each kind is enough to look at.
        self._kinds = list(
            {id(footer.types): footer for footer in reversed(tuple(footers))}.values()
        )
        self._kinds.reverse()
        self.is_uniform = len(self._kinds) == 1
        """Whether all files have the same columns in the same order."""
        self._types: dict[str, pa.DataType] = {}
        for footer in self._kinds:
            self._types = {**footer.types, **self._types}
        folded = {fold_name(name) for name in self._types}
        self._path_values = {
            name: values for name, values in path_values.items() if fold_name(name) not in folded
        }
        self._in_paths = {fold_name(name) for name in path_values}
        self._used: dict[str, PathColumn] = {}

    @property
    def path_columns(self) -> tuple[PathColumn, ...]:
        """The columns that were looked up and live in the paths."""
        return tuple(self._used.values())

    def type_of(self, column: str) -> pa.DataType:
        """Return the Arrow type that the files have for a column, null for one of the paths."""
        return self._types.get(column, pa.null())

    def column(self, name: str) -> str:
        """Return the source column of a declared name; raises SchemaError when there is none."""
        mapped = self._source_column.get(name, name)
        for candidate in (mapped, name):
            if candidate in self._types or candidate in self._path_values:
                return self._only(candidate)
        msg = f"{self._where}: the source has no column `{mapped}`"
        have = ", ".join(f"`{column}`" for column in sorted({*self._types, *self._path_values}))
        raise SchemaError(msg, hint=f"`{self._kinds[0].path}` has {have}")

    def source_column(self, name: str) -> str:
        """Return a column that Feast names as the source does, before any field mapping.

        Timestamps and pulls are named so; raises SchemaError when there is none.
        """
        if name in self._types or name in self._path_values:
            return self._only(name)
        return self.column(name)

    def timestamp(self, name: str, *, is_in_every_file: bool = True) -> TimestampColumn:
        """Return a timestamp column.

        Raises:
            SchemaError: A file lacks it, or a path holds no instant.
            UnsupportedDtypeError: It holds something else.
        """
        column = self.source_column(name)
        if column in self._path_values:
            self._use_path(column, Dtype.UNIX_TIMESTAMP, self._where)
            return TimestampColumn(column)
        dtype = self._checked_type(column, is_in_every_file=is_in_every_file)
        if not (pa.types.is_timestamp(dtype) or pa.types.is_date(dtype)):
            msg = f"{self._where}: timestamp column `{column}` is {dtype} in `{self._file(column)}`"
            raise UnsupportedDtypeError(msg, hint="write it as a Parquet timestamp")
        return TimestampColumn(column, has_ns=has_nanoseconds(dtype))

    def typed(self, field: Field, *, is_in_every_file: bool = False) -> str:
        """Return a feature's or join key's column, checked to widen exactly.

        Raises:
            SchemaError: There is none, or a file lacks a join key.
            UnsupportedDtypeError: Its values are not kept exactly in the declared type.
        """
        column = self.column(field.name)
        where = f"{self._where}:{field.name}"
        if column in self._path_values:
            self._use_path(column, field.dtype, where)
            return column
        dtype = self._checked_type(column, is_in_every_file=is_in_every_file)
        if not is_exact_widening(dtype, field.dtype):
            msg = f"{where}: source column `{column}` is {dtype} in `{self._file(column)}`,"
            msg += f" declared {field.dtype.value}"
            raise UnsupportedDtypeError(msg, hint=f"not exact: {_declare_hint(field.dtype, dtype)}")
        return column

    def untyped(self, name: str) -> str:
        """Return a column that nothing declares a type for, under the source's own name.

        In the paths plain integers are Int64 and all else is text.
        """
        column = self.source_column(name)
        if column not in self._path_values:
            self._checked_type(column, is_in_every_file=False)
        elif column not in self._used:
            self._use_path(column, self._path_values[column].natural_dtype, self._where)
        return column

    def _use_path(self, column: str, dtype: Dtype, where: str) -> None:
        if _FILE_INDEX in map(fold_name, self._types):
            msg = f"{where}: a column of the files is called `{_FILE_INDEX}`"
            raise SchemaError(msg, hint="rename it: DuckDB calls the number of a file so")
        known = self._used.get(column)
        if known is not None and known.dtype is not dtype:
            msg = (
                f"{where}: `{column}` of the paths is used as {known.dtype.value} and {dtype.value}"
            )
            raise SchemaError(msg, hint="write it as a column of the files")
        self._used[column] = self._path_values[column].read_as(dtype, where=where)

    def _checked_type(self, column: str, *, is_in_every_file: bool) -> pa.DataType:
        lacking = next((file for file in self._kinds if column not in file.types), None)
        if lacking is not None and fold_name(column) in self._in_paths:
            msg = f"{self._where}: column `{column}` is in some files and in the paths of others"
            raise SchemaError(msg, hint=f"`{lacking.path}` does not have it: write it anew")
        if lacking is not None and is_in_every_file:
            msg = f"{self._where}: `{lacking.path}` has no column `{column}`"
            raise SchemaError(msg, hint="join keys and event timestamps are needed in every file")
        return merge_types(column, self._kinds, where=self._where)

    def _file(self, column: str) -> str:
        return next(file.path for file in self._kinds if column in file.types)

    def _which_have(self, names: Iterable[str]) -> str:
        wanted = set(names)
        found = [file.path for file in self._kinds if wanted & file.types.keys()]
        return f"see `{found[0] if found else self._kinds[0].path}`"

    def _only(self, column: str) -> str:
        # DuckDB would read whichever of them comes first in the file, for both names.
        names = {*self._types, *self._path_values}
        twins = [name for name in names if fold_name(name) == fold_name(column)]
        if len(twins) > 1:
            listed = " and ".join(f"`{name}`" for name in sorted(twins))
            msg = f"{self._where}: the source's columns {listed} differ only in case"
            raise SchemaError(msg, hint=f"rename one of them: {self._which_have(twins)}")
        repeating = next((file for file in self._kinds if column in file.repeated), None)
        if repeating is not None:
            msg = f"{self._where}: `{repeating.path}` has several columns `{column}`"
            raise SchemaError(msg, hint="rename or drop all but one, and write the file anew")
        return column


def merge_types(column: str, files: Iterable[Footer], *, where: str) -> pa.DataType:
    """Return the type that all files which have a column give it.

    Raises:
        SchemaError: Two files give it types that are not stored alike.
    """
    first: Footer | None = None
    for file in files:
        if column not in file.types:
            continue
        first = first or file
        known, found = first.types[column], file.types[column]
        if _stored(known) != _stored(found):
            msg = f"{where}: column `{column}` is {known} in `{first.path}` and {found} in"
            msg += f" `{file.path}`"
            raise SchemaError(msg, hint="write all files of a source with one schema")
    assert first is not None  # noqa: S101 - callers name a column that a file has.
    return first.types[column]


def _stored(dtype: Any) -> Any:
    """Forget what only Arrow tells apart: how long offsets are, dictionaries, names of zones."""
    if pa.types.is_dictionary(dtype):
        return _stored(dtype.value_type)
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype):
        return pa.string()
    if pa.types.is_large_binary(dtype) or pa.types.is_binary_view(dtype):
        return pa.binary()
    if pa.types.is_timestamp(dtype) and dtype.tz is not None:
        return pa.timestamp(dtype.unit, "UTC")
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return pa.list_(_stored(dtype.value_type))
    return dtype


def _declare_hint(declared: Dtype, source: Any) -> str:
    fitting = [dtype.value for dtype in Dtype if is_exact_widening(source, dtype)]
    if not fitting:
        return f"write the column as {declared.value}"
    return f"declare {fitting[0]}, or write the column as {declared.value}"


def has_nanoseconds(dtype: Any) -> bool:
    """Tell whether DuckDB reads a column, or the elements of its lists, with nanoseconds."""
    is_list = pa.types.is_list(dtype) or pa.types.is_large_list(dtype)
    if is_list or pa.types.is_fixed_size_list(dtype):
        dtype = dtype.value_type
    return bool(pa.types.is_timestamp(dtype) and dtype.unit == "ns")
