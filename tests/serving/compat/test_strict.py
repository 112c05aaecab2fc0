"""Stock's order and errors, judged by Feast's own classes; the differential test judges by its
server.
"""

from __future__ import annotations

import json

import pytest
from feast import errors as feast_errors

from evenstore.dtypes import Dtype
from evenstore.errors import (
    EntityRowsError,
    EvenstoreError,
    OnlineStoreUnavailableError,
    UnknownFeatureError,
    UnknownFeatureServiceError,
)
from evenstore.schema.model import Field, OnDemandViewSchema
from evenstore.schema.request import Column, FeatureRequest
from serving.compat.strict import missing_request_data, strict_error, strict_order
from serving.errors import InvalidRequestError, RequestTooLargeError

_VIEWS = {"scores", "profile", "ratio"}


def _request(*references: str) -> FeatureRequest:
    columns = [reference.split(":") for reference in references]
    ratio = OnDemandViewSchema(
        name="ratio",
        mode="python",
        is_singleton=False,
        inputs=(("scores", "score"),),
        request_fields=(Field("amount", Dtype.FLOAT64),),
        features=(Field("double", Dtype.FLOAT64),),
        udf=b"",
        udf_source="",
    )
    return FeatureRequest(
        name="asked",
        entity_columns=(Field("customer_id", Dtype.INT64), Field("store", Dtype.STRING)),
        request_fields=ratio.request_fields,
        columns=tuple(
            Column(view, Field(name, Dtype.FLOAT64), is_on_demand=view == "ratio")
            for view, name in columns
        ),
        reads=(),
        on_demand=(ratio,) if any(view == "ratio" for view, _ in columns) else (),
    )


def _told(error: EvenstoreError, *, missing: tuple[str, ...] = ()) -> tuple[int, object]:
    told = strict_error(error, project="shop", known_views=_VIEWS, missing=missing)
    assert told is not None
    return told.status, json.loads(told.body)


def test_features_of_a_view_stand_together() -> None:
    request = _request("scores:b", "profile:x", "scores:a", "profile:y")

    assert strict_order(request, ["customer_id", "store"]).features == (0, 2, 1, 3)


def test_on_demand_features_come_last_and_their_sources_where_they_are_asked_for() -> None:
    request = _request("ratio:double", "profile:x", "scores:a")

    assert strict_order(request, ["customer_id", "store"]).features == (2, 1, 0)


def test_keys_stand_as_sent() -> None:
    request = _request("scores:a")

    assert strict_order(request, ["note", "store", "customer_id"]).keys == (1, 0)
    assert strict_order(request, ["customer_id", "amount", "store"]).keys == (0, 1)


def test_unknown_service_is_told_as_feast_does() -> None:
    stock = feast_errors.FeatureServiceNotFoundException("nope", "shop")

    assert _told(UnknownFeatureServiceError("nope", ["a"])) == (
        stock.http_status_code(),
        stock.to_error_detail(),
    )


def test_unknown_view_and_unknown_feature_differ() -> None:
    stock = feast_errors.FeatureViewNotFoundException("nope", "shop")

    assert _told(UnknownFeatureError(["nope:x"], [])) == (
        stock.http_status_code(),
        stock.to_error_detail(),
    )
    text = "'Feature x not found in projection scores'"
    assert _told(UnknownFeatureError(["scores:x"], [])) == (500, text)


def test_missing_request_data_is_not_found() -> None:
    request = _request("ratio:double")
    missing = missing_request_data(request, ["customer_id"])
    stock = feast_errors.RequestDataNotFoundInEntityRowsException(missing)

    error = EntityRowsError("missing column: `amount`")

    assert _told(error, missing=tuple(missing)) == (
        stock.http_status_code(),
        stock.to_error_detail(),
    )
    assert missing_request_data(request, ["customer_id", "amount"]) == []


def test_mistakes_in_entity_rows_are_500_and_plain_text() -> None:
    assert _told(EntityRowsError("join key is null")) == (500, "join key is null")
    assert _told(InvalidRequestError("no features were asked for"))[0] == 500


def test_a_body_of_another_form_has_fastapis_detail() -> None:
    problems = [{"where": "entities.customer_id.0", "problem": "Input should be a list"}]

    assert _told(InvalidRequestError("not a request", problems=problems)) == (
        422,
        {
            "detail": [
                {
                    "type": "value_error",
                    "loc": ["body", "entities", "customer_id", 0],
                    "msg": "Input should be a list",
                }
            ]
        },
    )


@pytest.mark.parametrize(
    "error", [OnlineStoreUnavailableError("away"), RequestTooLargeError("too many rows")]
)
def test_what_stock_does_not_know_stays_ours(error: EvenstoreError) -> None:
    assert strict_error(error, project="shop", known_views=_VIEWS) is None


@pytest.mark.parametrize("key", ["²", "9" * 25, "9" * 5_000, "٣"])
def test_key_that_looks_like_a_number_is_told_as_text(key: str) -> None:
    problem = {"where": f"entities.{key}.0", "problem": "should be a list"}
    error = InvalidRequestError("not a request", problems=[problem])
    told = strict_error(error, project="shop", known_views=_VIEWS)
    assert told is not None
    assert json.loads(told.body)["detail"][0]["loc"] == ["body", "entities", key, 0]
