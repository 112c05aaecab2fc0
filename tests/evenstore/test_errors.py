from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from evenstore import errors
from evenstore.errors import (
    ConfigurationError,
    EntityRowsError,
    EvenstoreError,
    FutureRowError,
    GatewayError,
    MaterializationError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
    UnknownFeatureError,
    UnknownFeatureServiceError,
    UnsupportedDtypeError,
)


def _error_classes() -> list[type[EvenstoreError]]:
    found: list[type[EvenstoreError]] = [EvenstoreError]
    for error_class in found:
        found.extend(error_class.__subclasses__())
    return [error_class for error_class in found if error_class.__module__ == errors.__name__]


def test_every_class_has_a_kebab_case_code_of_its_own() -> None:
    codes = [error_class.code for error_class in _error_classes()]
    assert len(set(codes)) == len(codes)
    assert [code for code in codes if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)] == []
    assert all("code" in vars(error_class) for error_class in _error_classes())


def test_every_class_is_exported() -> None:
    assert sorted(error_class.__name__ for error_class in _error_classes()) == errors.__all__


def test_docstring_tree_lists_exactly_the_classes() -> None:
    tree = re.findall(r"[├└]─ (\w+)", errors.__doc__ or "")
    assert sorted(["EvenstoreError", *tree]) == errors.__all__


def test_docstring_tree_is_drawn_one_class_per_line() -> None:
    branches = [line for line in (errors.__doc__ or "").splitlines() if re.search("[├└]─", line)]
    assert [line for line in branches if not re.match(r"(│  )?(│  |   )?[├└]─ \w+", line)] == []


@pytest.mark.parametrize(
    ("error_class", "builtin"),
    [
        (ConfigurationError, ValueError),
        (EntityRowsError, ValueError),
        (FutureRowError, ValueError),
        (OnlineStoreTimeoutError, TimeoutError),
        (OnlineStoreUnavailableError, ConnectionError),
        (UnknownFeatureError, LookupError),
        (UnknownFeatureServiceError, LookupError),
        (UnsupportedDtypeError, TypeError),
    ],
)
def test_class_is_caught_as_the_builtin_that_a_caller_would_try(
    error_class: type[EvenstoreError], builtin: type[Exception]
) -> None:
    assert issubclass(error_class, builtin)


def test_str_is_the_message_and_the_hint_after_a_blank_line() -> None:
    error = ConfigurationError("port 70000 is out of range", hint="use 1 to 65535")
    assert str(error) == "port 70000 is out of range\n\nhint: use 1 to 65535"
    assert (error.message, error.hint) == ("port 70000 is out of range", "use 1 to 65535")


def test_str_is_the_message_alone_without_a_hint() -> None:
    # OSError, a base of two classes, would show its own text for two arguments.
    assert str(OnlineStoreUnavailableError("gone")) == "gone"
    assert str(OnlineStoreTimeoutError("late", hint="wait")) == "late\n\nhint: wait"


@pytest.mark.parametrize(
    ("available", "hint"),
    [
        (["customer:orders_7d", "product:price"], "did you mean `customer:orders_7d`?"),
        (["zzz", "aaa"], "available: `aaa`, `zzz`"),
        ([], "nothing is registered yet: run `feast apply`"),
    ],
)
def test_unknown_feature_hints_at_what_there_is(available: list[str], hint: str) -> None:
    error = UnknownFeatureError(["customer:orders_7"], available)
    assert error.hint == hint
    assert (error.missing, error.available) == (["customer:orders_7"], sorted(available))


def test_unknown_feature_names_all_that_are_missing_in_order() -> None:
    assert UnknownFeatureError(["b:y", "a:x"], []).message == "unknown feature: `a:x`, `b:y`"


def test_unknown_feature_service_hints_at_the_near_name() -> None:
    error = UnknownFeatureServiceError("churn", ["churn_v1"])
    assert error.hint == "did you mean `churn_v1`?"
    assert (error.missing, error.available) == ("churn", ["churn_v1"])


def _materialization_error() -> EvenstoreError:
    return MaterializationError("Redis went away", view="customer", rows_written=1234)


def _gateway_error() -> EvenstoreError:
    return GatewayError("no such service", status=404, remote_code="unknown-feature-service")


@pytest.mark.parametrize(
    ("build", "attributes", "text"),
    [
        (
            _materialization_error,
            {"view": "customer", "rows_written": 1234},
            "customer: Redis went away (1,234 rows written so far)",
        ),
        (
            _gateway_error,
            {"status": 404, "remote_code": "unknown-feature-service"},
            "no such service",
        ),
    ],
)
def test_class_with_data_carries_it_as_attributes(
    build: Callable[[], EvenstoreError], attributes: dict[str, object], text: str
) -> None:
    error = build()
    assert {name: getattr(error, name) for name in attributes} == attributes
    assert str(error) == text


def test_near_names_are_found_among_many() -> None:
    available = [f"view_{i % 50}:feature_{i}" for i in range(5_000)]
    error = UnknownFeatureError(["view_7:feature_107x"], available)
    assert error.hint is not None
    assert "`view_7:feature_107`" in error.hint


@pytest.mark.parametrize(
    "error",
    [
        UnknownFeatureError(["f" * 1_000_000], ["view:feature"]),
        UnknownFeatureServiceError("s" * 1_000_000, ["service"]),
    ],
)
def test_name_of_a_caller_is_cut_when_it_is_long(
    error: UnknownFeatureError | UnknownFeatureServiceError,
) -> None:
    assert len(str(error)) < 500
    assert len("".join(error.missing)) < 300
