"""The scikit-learn pipeline, built from the declared types of a feature service's features.

Join keys are never features: a model that knows customers by number does not know new ones.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from evenstore.dtypes import Dtype
from evenstore.schema.model import Field
from training.frame import refuse_unusable
from training.options import ModelKind

__all__ = ["build_pipeline"]

_RARE_SHARE = 0.01
"""A string value in fewer than this share of training rows joins the group of rare values."""

_MOST_CATEGORIES = 50
"""At most so many values per string feature are told apart, the group of rare ones included."""


def build_pipeline(features: tuple[Field, ...], *, kind: ModelKind, seed: int) -> Any:
    """Build an unfitted pipeline for the columns that `training.frame.feature_frame` makes.

    Gradient boosting takes nulls as they are, leaves out numbers that are null in every training
    row, and takes strings as categories: rare values together (null among them where it is rare),
    and all values that training never saw together. Logistic regression needs more: numbers, ages
    of timestamps, lengths of lists and flags are imputed where null (median; most frequent for
    flags) and marked by a column of their own; strings get one column per value, rare values
    together, and a value that training never saw counts as rare.

    Args:
        features: All features of the model, in order.
        kind: The classifier.
        seed: Fixes what randomness the classifier has; with it the same rows give the same model.

    Raises:
        TrainingError: There are no features, or a feature's type has no place in a model yet.
    """
    refuse_unusable(features)
    groups: dict[str, list[str]] = {"number": [], "flag": [], "category": []}
    for field in features:
        groups[_group(field.dtype)].append(field.name)
    if kind is ModelKind.LOGISTIC_REGRESSION:
        return _logistic_regression(groups, seed)
    return _gradient_boosting(groups, seed)


def _group(dtype: Dtype) -> str:
    return {Dtype.STRING: "category", Dtype.BOOL: "flag"}.get(dtype, "number")


def _gradient_boosting(groups: dict[str, list[str]], seed: int) -> Any:
    numbers, categories = groups["number"] + groups["flag"], groups["category"]
    # Nulls as they are and categories as codes: marking and one-hot columns tripled the columns and
    # the time of a fit, and made no score better.
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        min_frequency=_RARE_SHARE,
        max_categories=_MOST_CATEGORIES,
    )
    # The classifier cannot take a number that is null in every training row.
    with_values = functools.partial(_columns_with_values, names=numbers)
    columns = ColumnTransformer(
        [("category", encoder, categories), ("number", "passthrough", with_values)]
    )
    # Small trees on a third of the columns each: on the worked example's folds larger ones on all
    # columns lost to a logistic regression on two (docs/adr/0007).
    classifier = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=100,
        max_leaf_nodes=6,
        min_samples_leaf=50,
        max_features=0.3,
        # Early stopping would hold out random rows, which a time-based split is there to avoid.
        early_stopping=False,
        categorical_features=list(range(len(categories))),
        random_state=seed,
    )
    return Pipeline([("columns", columns), ("classifier", classifier)])


def _columns_with_values(frame: Any, *, names: list[str]) -> list[str]:
    return [name for name in names if frame[name].notna().any()]


def _logistic_regression(groups: dict[str, list[str]], seed: int) -> Any:
    # A column that is null in every training row is kept, as 0, so that scoring keeps its width.
    impute = {"add_indicator": True, "keep_empty_features": True}
    numbers = Pipeline(
        [("impute", SimpleImputer(strategy="median", **impute)), ("scale", StandardScaler())]
    )
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=_RARE_SHARE,
        max_categories=_MOST_CATEGORIES,
        sparse_output=False,
    )
    columns = ColumnTransformer(
        [
            ("number", numbers, groups["number"]),
            ("flag", SimpleImputer(strategy="most_frequent", **impute), groups["flag"]),
            ("category", categories, groups["category"]),
        ]
    )
    classifier = LogisticRegression(max_iter=1_000, random_state=seed)
    return Pipeline([("columns", columns), ("classifier", classifier)])
