"""Turns what is stored of one view's row into values and statuses, in either layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from evenstore.codec.packed_block import BlockReader
from evenstore.codec.packed_reader import PackedReader
from evenstore.codec.packed_row import TOMBSTONE, RowSchema, read_head, view_id
from evenstore.errors import CodecError, CorruptRowError, EvenstoreError, FutureRowError
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.shadow import ShadowCount
from evenstore.online.view_columns import ViewColumns, unless_present
from evenstore.schema.degradation import is_withheld
from evenstore.schema.request import ViewRead
from evenstore.semantics import Status, TtlEnforcement, decide_status, is_within_ttl

__all__ = [
    "DEFAULT_MAX_SKEW_US",
    "PackedViewDecoder",
    "RowAnswer",
    "UnknownSchemas",
    "ViewDecoder",
]

DEFAULT_MAX_SKEW_US = 60_000_000
"""How much later than now a row may be: clocks of writers and readers differ by less."""

RowAnswer = tuple[int | None, Sequence[Any], Sequence[Status]]
"""The event timestamp (None where there is no row), the values, and their statuses."""

UnknownSchemas = Mapping[tuple[str, bytes], EvenstoreError]
"""Why nobody knows a stored row's schema, by view and fingerprint."""

_NONE_UNKNOWN: UnknownSchemas = {}

_ONE_ROW = {status: None if status is Status.PRESENT else (status,) for status in Status}
"""The column of statuses of one row."""

StoredT = TypeVar("StoredT")

_Mask = npt.NDArray[np.bool_]

# Longer than any two instants can be apart.
_FOREVER_US = 1 << 62


class ViewDecoder(ABC, Generic[StoredT]):
    """Turns one view's stored rows into values and statuses; thread-safe.

    Args:
        read: The view and the features asked for.
        max_skew_us: How much later than the request a stored row may be before it is refused.

    Attributes:
        shadowed: Rows answered so far that an enforced ttl would have withheld, where the view
            shadows its ttl.
    """

    def __init__(self, read: ViewRead, max_skew_us: int) -> None:
        self.read = read
        self.shadowed = ShadowCount(read.view.name)
        self._max_skew_us = max_skew_us
        is_watched = read.view.ttl_enforcement is not TtlEnforcement.OFF
        self._watched_ttl_us = read.view.ttl_us if is_watched else None
        # Of most rows this is all there is to know.
        self._fresh_for_us = _FOREVER_US if self._watched_ttl_us is None else self._watched_ttl_us
        self._value_age_limit_us = read.value_age_limit_us
        n_features = len(read.features)
        self._nulls: tuple[None, ...] = (None,) * n_features
        self._not_found = (Status.NOT_FOUND,) * n_features
        self._invalid = (Status.INVALID,) * n_features
        self._present = (Status.PRESENT,) * n_features
        self.all_present = (None,) * n_features

    @abstractmethod
    def decode(self, stored: StoredT, as_of_us: int) -> RowAnswer:
        """Decode one row.

        Args:
            stored: What Redis has of it.
            as_of_us: The instant of the request's receipt.

        Raises:
            CorruptRowError: Stored bytes are not of the declared type.
            FutureRowError: The row is later than the instant by more than the allowed skew.
            RowSchemaNeeded: The row's schema must be asked for first, then decode again.
        """

    def to_columns(
        self,
        event_us: Sequence[Any],
        values: Sequence[Sequence[Any]],
        as_of_us: int,
        *,
        has_gaps: bool,
    ) -> ViewColumns:
        """Decide the statuses of rows that have been read.

        Args:
            event_us: Their event timestamps; None where there is no row.
            values: One column per feature asked for.
            as_of_us: The instant of the request's receipt.
            has_gaps: Whether a row or a value is missing.

        Raises:
            FutureRowError: A row is later than the instant by more than the allowed skew.
        """
        if not has_gaps and self._are_fresh(min(event_us), max(event_us), as_of_us):
            return ViewColumns(event_us, values, self.all_present)
        row_statuses = [self._row_status(event, as_of_us) for event in event_us]
        if Status.OUTSIDE_MAX_AGE in row_statuses:
            withheld = [
                event is not None and self._withholds(event, as_of_us) for event in event_us
            ]
            values = [
                [
                    None if is_withheld else value
                    for value, is_withheld in zip(column, withheld, strict=True)
                ]
                for column in values
            ]
        statuses = [
            [
                Status.NULL_VALUE if value is None and status is Status.PRESENT else status
                for value, status in zip(column, row_statuses, strict=True)
            ]
            if None in column
            else row_statuses
            for column in values
        ]
        return ViewColumns(event_us, values, statuses)

    def find_expired(
        self, event_us: npt.NDArray[np.int64], as_of_us: int
    ) -> tuple[_Mask | None, _Mask | None]:
        """Tell which of many rows are too old, and of which of them values are withheld.

        Args:
            event_us: Their event timestamps.
            as_of_us: The instant of the request's receipt.

        Returns:
            Two masks; None for none.

        Raises:
            FutureRowError: A row is later than the instant by more than the allowed skew.
        """
        latest_us = int(event_us.max())
        if self._are_fresh(int(event_us.min()), latest_us, as_of_us):
            return None, None
        if latest_us > as_of_us + self._max_skew_us:
            raise self._future_row()
        age_us = as_of_us - event_us
        is_expired = age_us > self._fresh_for_us
        if self.read.view.ttl_enforcement is TtlEnforcement.SHADOW:
            self.shadowed.add(int(is_expired.sum()))
            return None, None
        limit_us = self._value_age_limit_us
        return is_expired, None if limit_us is None else is_expired & (age_us > limit_us)

    def answer_columns(
        self,
        all_stored: Iterable[StoredT | EvenstoreError],
        as_of_us: int,
        unknown: UnknownSchemas = _NONE_UNKNOWN,
    ) -> ViewColumns:
        """Decode rows of any form, each for itself.

        Args:
            all_stored: What Redis has of each entity, or why that cannot be told.
            as_of_us: The instant of the request's receipt.
            unknown: The schemas that were asked for in vain.

        Raises:
            RowSchemaNeeded: A row's schema must be asked for first, then decode again.
        """
        answers: list[RowAnswer] = []
        errors: dict[int, EvenstoreError] = {}
        for i, stored in enumerate(all_stored):
            try:
                if isinstance(stored, EvenstoreError):
                    raise stored
                answers.append(self.decode(stored, as_of_us))
                continue
            except (CodecError, FutureRowError) as exc:
                errors[i] = exc
            except RowSchemaNeeded as needed:
                error = unknown.get((needed.view_name, needed.fingerprint))
                if error is None:
                    raise
                errors[i] = error
            answers.append((None, self._nulls, self._invalid))
        return self._columns(answers, errors)

    def all_plain(self, all_stored: Iterable[StoredT], as_of_us: int) -> ViewColumns:
        """Do as `answer_columns`, but raise what is wrong with a row: it takes two thirds."""
        return self._columns([self.decode(stored, as_of_us) for stored in all_stored], {})

    def one_plain(self, stored: StoredT, as_of_us: int) -> ViewColumns:
        """Do as `all_plain` for one row: half of all requests ask for no more."""
        event_us, values, statuses = self.decode(stored, as_of_us)
        columns: Sequence[Sequence[Status] | None] = self.all_present
        if statuses is not self._present:
            columns = [_ONE_ROW[status] for status in statuses]
        return ViewColumns((event_us,), [(value,) for value in values], columns)

    def _columns(
        self, answers: Sequence[RowAnswer], errors: Mapping[int, EvenstoreError]
    ) -> ViewColumns:
        event_us, values, statuses = zip(*answers, strict=True) if answers else ((), (), ())
        columns: Sequence[Sequence[Status] | None] = self.all_present
        if not all(row is self._present for row in statuses):
            columns = [unless_present(column) for column in zip(*statuses, strict=True)]
        return ViewColumns(event_us, list(zip(*values, strict=True)), columns, errors)

    def _are_fresh(self, earliest_us: int, latest_us: int, as_of_us: int) -> bool:
        is_past = latest_us <= as_of_us + self._max_skew_us
        return is_past and is_within_ttl(
            event_us=earliest_us, as_of_us=as_of_us, ttl_us=self._watched_ttl_us
        )

    def _row_status(self, event_us: int | None, as_of_us: int) -> Status:
        if event_us is None:
            return Status.NOT_FOUND
        is_expired = self._is_expired(event_us, as_of_us)
        return Status.OUTSIDE_MAX_AGE if is_expired else Status.PRESENT

    def _no_row(self) -> RowAnswer:
        return None, self._nulls, self._not_found

    def _is_expired(self, event_us: int, as_of_us: int) -> bool:
        if -self._max_skew_us <= as_of_us - event_us <= self._fresh_for_us:
            return False
        view = self.read.view
        if event_us > as_of_us + self._max_skew_us:
            raise self._future_row()
        if is_within_ttl(event_us=event_us, as_of_us=as_of_us, ttl_us=view.ttl_us):
            return False
        if view.ttl_enforcement is TtlEnforcement.SHADOW:
            self.shadowed.add()
        return view.ttl_enforcement is TtlEnforcement.ENFORCE

    def _future_row(self) -> FutureRowError:
        msg = f"{self.read.view.name}: a stored row is later than the instant of the request"
        return FutureRowError(msg, hint="is the gateway's clock right, or frozen in the past?")

    def _withholds(self, event_us: int, as_of_us: int) -> bool:
        return is_withheld(
            event_us=event_us, as_of_us=as_of_us, value_age_limit_us=self._value_age_limit_us
        )

    def _named(self, exc: CorruptRowError, feature: str = "") -> CorruptRowError:
        where = f"{self.read.view.name}:{feature}" if feature else self.read.view.name
        return CorruptRowError(f"{where}: {exc.message}", hint=exc.hint)


class _Projection:
    """How the features asked for are taken from rows of one stored schema."""

    def __init__(self, schema: RowSchema, read: ViewRead) -> None:
        stored = {(field.name, field.dtype): i for i, field in enumerate(schema.features)}
        # A feature of another type then is absent: its bytes are not of the type asked for.
        positions = [stored.get((field.name, field.dtype)) for field in read.features]
        self.values = PackedReader(schema, positions).read
        self.is_found = [i is not None for i in positions]
        self.is_complete = all(self.is_found)


class PackedViewDecoder(ViewDecoder[bytes | None]):
    """Decodes a row of the packed layout.

    A row of an older schema is read by that schema: what it does not have, or had under another
    type, is NOT_FOUND.
    """

    def __init__(
        self, project: str, read: ViewRead, max_skew_us: int = DEFAULT_MAX_SKEW_US
    ) -> None:
        super().__init__(read, max_skew_us)
        self.view_id = view_id(read.view.name)
        self._project = project
        schema = RowSchema.of(read.view.features)
        self._projections = {schema.fingerprint: _Projection(schema, read)}
        stored = {field: i for i, field in enumerate(schema.features)}
        self.block_reader = BlockReader(
            self.view_id, schema, tuple(stored[field] for field in read.features)
        )

    def learn(self, fingerprint: bytes, schema: RowSchema) -> None:
        """Take note of an older schema."""
        self._projections[fingerprint] = _Projection(schema, self.read)

    @override
    def decode(self, stored: bytes | None, as_of_us: int) -> RowAnswer:
        if stored is None:
            return self._no_row()
        try:
            event_us, flags, fingerprint, start = read_head(stored)
            if flags & TOMBSTONE:
                return self._no_row()
            is_expired = False
            if not -self._max_skew_us <= as_of_us - event_us <= self._fresh_for_us:
                is_expired = self._is_expired(event_us, as_of_us)
            projection = self._projections.get(fingerprint)
            if projection is None:
                raise RowSchemaNeeded.of(self._project, self.read.view.name, fingerprint)
            if is_expired and self._withholds(event_us, as_of_us):
                values = self._nulls
            else:
                values = projection.values(stored, start, flags)
        except CorruptRowError as exc:
            raise self._named(exc) from exc
        if projection.is_complete and not is_expired and None not in values:
            return event_us, values, self._present
        statuses = [
            decide_status(is_found=is_found, is_expired=is_expired, is_null=value is None)
            for is_found, value in zip(projection.is_found, values, strict=True)
        ]
        return event_us, values, statuses
