from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import TrainingError
from evenstore.schema.model import Field
from training.model import build_pipeline
from training.options import ModelKind

_FEATURES = (
    Field("amount", Dtype.FLOAT64),
    Field("country", Dtype.STRING),
    Field("flag", Dtype.BOOL),
    Field("age", Dtype.UNIX_TIMESTAMP),
)


def _frame(n_rows: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    country: list[str | None] = [f"c{i}" for i in random.integers(0, 3, n_rows)]
    country[0], country[1], country[2] = None, "rare", "rarer"
    amount = random.normal(size=n_rows)
    amount[:5] = np.nan
    return pd.DataFrame(
        {
            "amount": amount,
            "country": pd.Series(country, dtype=object),
            "flag": random.integers(0, 2, n_rows).astype(float),
            "age": random.gamma(2.0, 5.0, n_rows),
        }
    )


def _encoded(pipeline: Any, frame: pd.DataFrame) -> pd.DataFrame:
    columns = pipeline.named_steps["columns"]
    return pd.DataFrame(columns.transform(frame), columns=columns.get_feature_names_out())


@pytest.mark.parametrize("kind", list(ModelKind))
def test_values_never_seen_in_training_are_scored(kind: ModelKind) -> None:
    frame = _frame(400)
    pipeline = build_pipeline(_FEATURES, kind=kind, seed=0)
    pipeline.fit(frame, frame["amount"].fillna(0.0) > 0.0)
    unseen = pd.DataFrame(
        {"amount": [np.nan], "country": ["Atlantis"], "flag": [np.nan], "age": [np.nan]}
    )
    probability = pipeline.predict_proba(unseen)[0, 1]
    assert 0.0 < probability < 1.0


def test_rare_and_unseen_strings_share_a_column_and_nulls_are_marked() -> None:
    frame = _frame(400)
    pipeline = build_pipeline(_FEATURES, kind=ModelKind.LOGISTIC_REGRESSION, seed=0)
    pipeline.fit(frame, frame["flag"] > 0.5)
    encoded = _encoded(pipeline, frame)
    rare = "category__country_infrequent_sklearn"
    assert encoded[rare].tolist()[:3] == [1.0, 1.0, 1.0]
    assert {f"category__country_c{i}" for i in range(3)} < set(encoded.columns)
    assert encoded["number__missingindicator_amount"].nunique() == 2
    unseen = frame.iloc[[9]].assign(country="Atlantis")
    assert _encoded(pipeline, unseen)[rare].tolist() == [1.0]


def test_feature_that_is_null_in_all_training_rows_is_kept() -> None:
    frame = _frame(100).assign(amount=np.nan, flag=np.nan)
    pipeline = build_pipeline(_FEATURES, kind=ModelKind.LOGISTIC_REGRESSION, seed=0)
    pipeline.fit(frame, frame["age"] > frame["age"].median())
    assert np.isfinite(pipeline.predict_proba(frame.assign(amount=3.0, flag=1.0))).all()


@pytest.mark.parametrize("kind", list(ModelKind))
def test_lists_are_numbers_and_bytes_are_refused(kind: ModelKind) -> None:
    lengths = Field("favourites", Dtype.STRING_LIST)
    frame = _frame(200).assign(favourites=np.arange(200.0))
    pipeline = build_pipeline((*_FEATURES, lengths), kind=kind, seed=0)
    pipeline.fit(frame, frame["favourites"] > 100.0)
    assert pipeline.predict_proba(frame)[:, 1].argmax() > 100
    with pytest.raises(TrainingError, match="`token` is Bytes"):
        build_pipeline((Field("token", Dtype.BYTES),), kind=kind, seed=0)


def test_gradient_boosting_takes_all_values_never_seen_as_one() -> None:
    frame = _frame(400)
    pipeline = build_pipeline(_FEATURES, kind=ModelKind.GRADIENT_BOOSTING, seed=0)
    pipeline.fit(frame, frame["country"] == "c1")
    row = frame.iloc[[9]]
    scores = {
        country: pipeline.predict_proba(row.assign(country=country))[0, 1]
        for country in ("c1", "Atlantis", "Lemuria")
    }
    assert scores["Atlantis"] == scores["Lemuria"] != scores["c1"]


@pytest.mark.parametrize("kind", list(ModelKind))
def test_column_of_nulls_alone_can_be_fitted_and_scored(kind: ModelKind) -> None:
    frame = _frame(200)
    frame = frame.assign(amount=np.nan, country=pd.Series([None] * 200, dtype=object))
    pipeline = build_pipeline(_FEATURES, kind=kind, seed=0)
    pipeline.fit(frame, frame["age"] > frame["age"].median())
    known = frame.assign(amount=1.0, country="c1")
    assert np.isfinite(pipeline.predict_proba(known)).all()
