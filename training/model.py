"""The scikit-learn pipeline, built from the declared types of a feature service's features.

Join keys are never features: a model that knows customers by number does not know new ones.
"""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from evenstore.dtypes import Dtype
from evenstore.schema.model import Field
from training.frame import refuse_unusable
from training.options import ModelKind

__all__ = ["build_pipeline"]

_RARE_SHARE = 0.01
"""A string value in fewer than this share of training rows joins the group of rare values."""

_MOST_CATEGORIES = 50
"""At most so many columns per string feature, the group of rare values included."""


def build_pipeline(features: tuple[Field, ...], *, kind: ModelKind, seed: int) -> Any:
    """Build an unfitted pipeline for the columns that `training.frame.feature_frame` makes.

    Numbers, ages of timestamps and flags: nulls are imputed (median; most frequent for flags) and
    marked by a column of their own. Strings: one column per value, rare values together, a value
    that training never saw counts as rare.

    Args:
        features: All features of the model, in order.
        kind: The classifier.
        seed: Fixes what randomness the classifier has; with it the same rows give the same model.

    Raises:
        TrainingError: There are no features, or a feature's type has no place in a model yet.
    """
    refuse_unusable(features)
    groups: dict[str, list[str]] = {}
    for field in features:
        groups.setdefault(_group(field.dtype), []).append(field.name)
    encoders = {"number": _numbers, "flag": _flags, "category": _categories}
    columns = ColumnTransformer(
        [(group, encoders[group](), names) for group, names in groups.items()],
        remainder="drop",
    )
    return Pipeline([("columns", columns), ("classifier", _classifier(kind, seed))])


def _group(dtype: Dtype) -> str:
    return {Dtype.STRING: "category", Dtype.BOOL: "flag"}.get(dtype, "number")


def _numbers() -> Any:
    # A column that is null in every training row is kept, as 0, so that scoring keeps its width.
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return Pipeline([("impute", imputer), ("scale", StandardScaler())])


def _flags() -> Any:
    return SimpleImputer(strategy="most_frequent", add_indicator=True, keep_empty_features=True)


def _categories() -> Any:
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=_RARE_SHARE,
        max_categories=_MOST_CATEGORIES,
        sparse_output=False,
    )


def _classifier(kind: ModelKind, seed: int) -> Any:
    if kind is ModelKind.LOGISTIC_REGRESSION:
        return LogisticRegression(max_iter=1_000, random_state=seed)
    # Early stopping would hold out random rows, which a time-based split is there to avoid.
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=200,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        early_stopping=False,
        random_state=seed,
    )
