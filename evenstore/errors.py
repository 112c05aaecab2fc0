"""The errors of evenstore, as one tree.

```text
EvenstoreError
├─ ConfigurationError              (also ValueError)      a setting, a path, an environment variable
├─ SchemaError
│  ├─ UnknownFeatureError          (also LookupError)     carries missing and available
│  ├─ UnknownFeatureServiceError   (also LookupError)     carries missing and available
│  ├─ UnsupportedDtypeError        (also TypeError)       a type that cannot be kept exactly
│  └─ SchemaDriftError             writer, reader or model fingerprint differ
├─ EntityRowsError                 (also ValueError)      missing join key, null timestamp, bad type
├─ CodecError
│  ├─ CorruptRowError
│  └─ FormatVersionError
├─ OfflineStoreError
│  └─ SourceUnavailableError       a file or folder of a source cannot be read
│     └─ SourceChangedError        a file was replaced while it was read
├─ OnlineStoreError
│  ├─ OnlineStoreUnavailableError  (also ConnectionError)
│  ├─ OnlineStoreTimeoutError      (also TimeoutError)
│  └─ FutureRowError               (also ValueError)      a row later than now plus the allowed skew
├─ MaterializationError            carries view and rows written so far
├─ TransformError                  a feature SQL file or its input
├─ GatewayError                    the gateway's answer is an error; carries code and status
├─ ParityError                     the comparison could not be made (a violation is a result)
└─ TrainingError                   a dataset, split or model that cannot be made
```

Every error has a `code` (kebab-case, stable, listed in docs/reference/errors.md), a message that
says what was wrong and where, and, when there is one, a `hint` with the next action.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "CodecError",
    "ConfigurationError",
    "CorruptRowError",
    "EntityRowsError",
    "EvenstoreError",
    "FormatVersionError",
    "FutureRowError",
    "GatewayError",
    "MaterializationError",
    "OfflineStoreError",
    "OnlineStoreError",
    "OnlineStoreTimeoutError",
    "OnlineStoreUnavailableError",
    "ParityError",
    "SchemaDriftError",
    "SchemaError",
    "SourceChangedError",
    "SourceUnavailableError",
    "TrainingError",
    "TransformError",
    "UnknownFeatureError",
    "UnknownFeatureServiceError",
    "UnsupportedDtypeError",
]


class EvenstoreError(Exception):
    """Base of all errors raised on purpose.

    `str(error)` is the message, a blank line and the hint.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message if hint is None else f"{message}\n\nhint: {hint}")


class ConfigurationError(EvenstoreError, ValueError):
    """A setting, a path or an environment variable cannot be used."""

    code = "configuration"


class SchemaError(EvenstoreError):
    """A definition in the registry cannot be served or joined as it stands."""

    code = "schema"


_LONGEST_NAME = 200
"""Names come from callers: a longer one is cut wherever it is shown."""

_MAX_COMPARED = 100
"""Comparing one pair of names takes 0.1 ms, and a gateway answers nobody else meanwhile."""


def _near_names_hint(missing: Iterable[str], available: Iterable[str]) -> str:
    names = sorted(available)
    near = [
        match
        for name in list(missing)[:3]
        for match in difflib.get_close_matches(name, _alike(name, names), n=3)
    ]
    if near:
        return "did you mean " + " or ".join(f"`{name}`" for name in dict.fromkeys(near)) + "?"
    if not names:
        return "nothing is registered yet: run `feast apply`"
    return "available: " + ", ".join(f"`{name}`" for name in names[:20])


def _alike(name: str, names: list[str]) -> list[str]:
    """Return the names that are worth comparing: of many, those of the same view or feature."""
    if len(names) <= _MAX_COMPARED:
        return names
    view, _, feature = name.partition(":")
    alike = [each for each in names if each.startswith(f"{view}:") or each.endswith(f":{feature}")]
    return (alike or names)[:_MAX_COMPARED]


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."


class UnknownFeatureError(SchemaError, LookupError):
    """A feature or feature view that the registry does not have."""

    code = "unknown-feature"

    def __init__(self, missing: Iterable[str], available: Iterable[str]) -> None:
        self.missing = sorted(_shown(name) for name in missing)
        self.available = sorted(available)
        super().__init__(
            "unknown feature: " + ", ".join(f"`{name}`" for name in self.missing),
            hint=_near_names_hint(self.missing, self.available),
        )


class UnknownFeatureServiceError(SchemaError, LookupError):
    """A feature service that the registry does not have."""

    code = "unknown-feature-service"

    def __init__(self, missing: str, available: Iterable[str]) -> None:
        self.missing = _shown(missing)
        self.available = sorted(available)
        super().__init__(
            f"unknown feature service: `{self.missing}`",
            hint=_near_names_hint([self.missing], self.available),
        )


class UnsupportedDtypeError(SchemaError, TypeError):
    """A type that evenstore cannot keep exactly on both sides."""

    code = "unsupported-dtype"


class SchemaDriftError(SchemaError):
    """Two sides that must share one schema fingerprint do not."""

    code = "schema-drift"


class EntityRowsError(EvenstoreError, ValueError):
    """Entity rows that cannot be looked up or joined."""

    code = "entity-rows"


class CodecError(EvenstoreError):
    """Bytes that cannot be made or read."""

    code = "codec"


class CorruptRowError(CodecError):
    """Stored bytes that are not a row of the format they claim."""

    code = "corrupt-row"


class FormatVersionError(CodecError):
    """Stored bytes of a format version that this reader does not know."""

    code = "format-version"


class OfflineStoreError(EvenstoreError):
    """The offline store could not answer."""

    code = "offline-store"


class SourceUnavailableError(OfflineStoreError):
    """A file or folder of a data source is missing or cannot be read."""

    code = "source-unavailable"


class SourceChangedError(SourceUnavailableError):
    """A file of a data source was replaced or removed while it was read."""

    code = "source-changed"


class OnlineStoreError(EvenstoreError):
    """The online store refused or failed."""

    code = "online-store"


class OnlineStoreUnavailableError(OnlineStoreError, ConnectionError):
    """Redis cannot be reached or is not ready."""

    code = "online-store-unavailable"


class OnlineStoreTimeoutError(OnlineStoreError, TimeoutError):
    """Redis did not answer in time."""

    code = "online-store-timeout"


class FutureRowError(OnlineStoreError, ValueError):
    """A row whose event timestamp is later than now plus the allowed skew."""

    code = "future-row"


class MaterializationError(EvenstoreError):
    """A materialization run stopped before its end."""

    code = "materialization"

    def __init__(
        self, message: str, *, view: str, rows_written: int, hint: str | None = None
    ) -> None:
        self.view = view
        self.rows_written = rows_written
        super().__init__(f"{view}: {message} ({rows_written:,} rows written so far)", hint=hint)


class TransformError(EvenstoreError):
    """A feature SQL file or its input cannot be used."""

    code = "transform"


class GatewayError(EvenstoreError):
    """The gateway answered with an error.

    `remote_code` is its stable code, `status` the HTTP status, 0 without an answer; `request_id` is
    what the gateway's log calls the request.
    """

    code = "gateway"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        remote_code: str,
        hint: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.status = status
        self.remote_code = remote_code
        self.request_id = request_id
        super().__init__(message, hint=hint)


class ParityError(EvenstoreError):
    """The comparison of both stores could not be made."""

    code = "parity"


class TrainingError(EvenstoreError):
    """A training dataset, a split or a model cannot be made from what was given."""

    code = "training"
