"""What a feature service answers where a value is missing, old or unreadable.

Four declared rules, each a function without I/O. The gateway, training datasets and parity share
them, so that a model is trained on what it will be served.

* A **default** stands where a value is null, whatever the reason; the status stays true.
* An **expired** value is given until its age is over the ttl plus `max_stale`, with status
  OUTSIDE_MAX_AGE (`ViewRead.value_age_limit_us`).
* When the store is **away**, a service that fails open answers its defaults, and nulls where none
  is declared, with status INVALID; one that fails closed answers nothing.
* A stored row that is **unreadable** makes its features INVALID, likewise.

On-demand functions see what was stored, never a default: declare one for their outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenstore.schema.json_form import load_value
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import OnUnavailable

__all__ = ["fails_open", "fill_nulls", "is_withheld", "load_defaults"]


def load_defaults(request: FeatureRequest) -> tuple[Any, ...]:
    """Return the declared default of each of `request.columns`, in order; None without one.

    Values are Python values of the declared types, as a lookup gives them. Load them once per
    request schema, not per request.

    Raises:
        UnsupportedDtypeError: A feature was retyped since its default was compiled.
    """
    return tuple(
        None
        if column.default_json is None
        else load_value(
            column.default_json,
            column.field.dtype,
            where=f"default of {column.view_name}:{column.field.name}",
        )
        for column in request.columns
    )


def fill_nulls(values: Sequence[Any], default: Any) -> Sequence[Any]:
    """Put a default in the place of nulls; NaN is a value and stays.

    Args:
        values: One feature's values, a column of an answer; not changed.
        default: Of the feature's type; None declares none.

    Returns:
        The very same object where there is nothing to fill.
    """
    if default is None or None not in values:
        return values
    return [default if value is None else value for value in values]


def is_withheld(*, event_us: int, as_of_us: int, value_age_limit_us: int | None) -> bool:
    """Tell whether a stored row is too old for its values to be given.

    Args:
        event_us: The row's event timestamp.
        as_of_us: The instant of the request.
        value_age_limit_us: `ViewRead.value_age_limit_us`.
    """
    return value_age_limit_us is not None and as_of_us - event_us > value_age_limit_us


def fails_open(request: FeatureRequest) -> bool:
    """Tell whether an answer with INVALID features is better than none."""
    return request.on_unavailable is OnUnavailable.OPEN
