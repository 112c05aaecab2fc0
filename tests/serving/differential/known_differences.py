"""The differences from stock Feast's server that are meant; docs/reference/feast-server.md shows
them, and a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One deliberate difference: a short name, what stock does, and what the gateway does."""

    name: str
    stock: str
    ours: str


KEPT_IN_STRICT_MODE = frozenset(
    {
        "true-status",
        "ttl",
        "timestamp-digits",
        "full-names",
        "request-data",
        "strict-keys",
        "entity-name",
        "missing-key",
        "strict-flags",
        "extra-columns",
    }
)
"""Those that `--compat strict` leaves; the page names them, too."""

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "true-status",
        "`PRESENT` for every cell, with null where there is no row or no value",
        "`NOT_FOUND` where there is no row, `NULL_VALUE` where its value is null, and a NaN, which"
        " JSON cannot say, is null and `PRESENT`; an on-demand feature has the worst status of"
        " its inputs, whatever its value",
    ),
    Difference(
        "ttl",
        "a row older than the view's ttl is given as `PRESENT`",
        "null and `OUTSIDE_MAX_AGE`, with its event timestamp; on-demand views compute from null",
    ),
    Difference(
        "column-order",
        "features of a view in an arbitrary order, which differs between two starts; on-demand"
        " features last",
        "join keys, then features as asked for",
    ),
    Difference(
        "null-timestamp",
        "-9223372036854775808 for a null UnixTimestamp value",
        "null",
    ),
    Difference(
        "timestamp-digits",
        "event timestamps with 3, 6 or 9 digits after the second, as few as will do",
        "6 digits, or none for a whole second",
    ),
    Difference(
        "full-names",
        "leaves out the features of an on-demand view of mode `python` when"
        " `full_feature_names` is true",
        "gives them, as `view__feature`",
    ),
    Difference(
        "request-data",
        "the first value of a column of request data decides the type of all: 3 and 0.5 become 3"
        " and 0",
        "values have the types that the request source declares",
    ),
    Difference(
        "error-body",
        "a JSON string, which may hold JSON, or FastAPI's `detail`",
        '`{"error": {"code", "message", "hint", "details"}}`',
    ),
    Difference(
        "error-status",
        "500 for most mistakes of a caller, 404 for missing request data",
        "404 for what the registry does not have, 422 for what the request lacks",
    ),
    Difference(
        "strict-keys",
        'takes `"1"`, 1.7 and true for an Int64 key, and 1 for a String key',
        "422: the key would name another entity than in training",
    ),
    Difference(
        "entity-name",
        "takes an entity's name for its join key",
        "422: send the join key",
    ),
    Difference(
        "missing-key",
        "null when one of a view's two join keys is missing",
        "422",
    ),
    Difference(
        "strict-flags",
        'takes `"yes"` and 1 for true',
        "422: true or false",
    ),
    Difference(
        "extra-columns",
        "500 when a column that nobody asked for has another length",
        "ignores the column",
    ),
)
