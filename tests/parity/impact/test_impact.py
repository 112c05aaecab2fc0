from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from evenstore.client.values import to_arrow
from evenstore.dtypes import Dtype
from evenstore.errors import ConfigurationError, ParityError
from evenstore.schema.model import Field
from evenstore.schema.request import Column, FeatureRequest
from evenstore.semantics import Status
from parity.causes.finding import Cause, Evidence, Finding
from parity.compare import CellColumn, Outcome
from parity.impact.frame import model_column
from parity.impact.impact import ModelImpact, Movement, measure_impact
from parity.impact.model import ImpactModel, load_models
from parity.report import CheckedRows, Counts, Difference, FeatureComparison
from parity.values import PlainValue
from training.frame import feature_frame

pytestmark = pytest.mark.slow

DAY_US = 86_400_000_000
FEATURES = ("a", "b")
N_ROWS = 6


class Sum:
    """A model whose score is the sum of its inputs, so that every movement is known."""

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        score = frame[["v__a", "v__b"]].sum(axis=1).to_numpy()
        return np.column_stack([1 - score, score])


MODEL = ImpactModel("sum", ("v__a", "v__b"), Sum())


def cells(
    values: list[PlainValue | None], statuses: list[Status | None] | None = None
) -> CellColumn:
    return CellColumn(values, statuses or [Status.PRESENT] * len(values), [0] * len(values))


def request() -> FeatureRequest:
    columns = tuple(
        Column("v", Field(name, Dtype.FLOAT64), is_on_demand=False) for name in FEATURES
    )
    return FeatureRequest("service", (), (), columns, (), ())


def comparison(
    column: Column, offline: CellColumn, online: CellColumn, causes: dict[int, Cause]
) -> FeatureComparison:
    differences = tuple(
        Difference(
            Outcome.MISMATCH,
            "v",
            column.field.name,
            column.field.dtype,
            row_idx,
            {"id": row_idx},
            0,
            offline.cell(row_idx),
            online.cell(row_idx),
            Finding(cause, "", Evidence()),
        )
        for row_idx, cause in causes.items()
    )
    return FeatureComparison("v", column.field.name, column.field.dtype, Counts(), differences)


def measure(
    offline: list[list[PlainValue | None]],
    online: list[list[PlainValue | None]],
    causes: list[dict[int, Cause]],
    *,
    statuses: list[Status | None] | None = None,
) -> ModelImpact:
    asked = request()
    sides = [cells(values) for values in offline]
    told = [cells(values, statuses) for values in online]
    return measure_impact(
        MODEL,
        asked,
        CheckedRows({}, [0] * N_ROWS),
        offline=sides,
        online=told,
        features=[
            comparison(column, side, other, found)
            for column, side, other, found in zip(asked.columns, sides, told, causes, strict=True)
        ],
        threshold=0.5,
    )


def test_each_cause_moves_what_its_cells_move() -> None:
    a: list[PlainValue | None] = [0.1, 0.1, 0.1, 0.4, 0.1, 0.1]
    b: list[PlainValue | None] = [0.2, 0.2, 0.2, 0.0, 0.2, 0.2]
    late, expired = Cause.LATE_ARRIVAL, Cause.TTL_BOUNDARY
    impact = measure(
        [a, b],
        [[0.35, 0.1, 0.1, 0.3, 0.1, 0.1], [0.2, 0.25, 0.2, 0.25, 0.2, 0.2]],
        [{0: late, 3: late}, {1: expired, 3: expired}],
    )
    late_share = impact.by_cause["late-arrival"]
    assert (late_share.n_moved, late_share.n_flipped) == (2, 1)
    assert late_share.mean_moved == pytest.approx(0.175)
    assert late_share.max_moved == pytest.approx(0.25)
    assert impact.by_cause["ttl-boundary"].n_moved == 2
    assert impact.by_cause["ttl-boundary"].n_flipped == 1
    assert impact.total.n_moved == 3
    assert impact.total.n_flipped == 2
    assert impact.by_feature["v__a"] == impact.by_cause["late-arrival"]
    assert json.loads(json.dumps(impact.to_document()))["total"]["n_moved"] == 3


def test_row_without_an_answer_has_no_score() -> None:
    same: list[PlainValue | None] = [0.1] * N_ROWS
    statuses: list[Status | None] = [None, *[Status.PRESENT] * (N_ROWS - 1)]
    impact = measure(
        [same, same],
        [[None, *same[1:]], [None, *same[1:]]],
        [{0: Cause.NOT_MATERIALIZED}, {0: Cause.NOT_MATERIALIZED}],
        statuses=statuses,
    )
    assert impact.n_unscored == 1
    assert impact.total == Movement()


def test_equal_sides_move_nothing() -> None:
    same: list[list[PlainValue | None]] = [[0.1] * N_ROWS, [math.nan] * N_ROWS]
    impact = measure(same, same, [{}, {}])
    assert impact.total == Movement()
    assert impact.by_cause == {}


def test_model_needs_its_inputs() -> None:
    other = ImpactModel("other", ("v__c",), Sum())
    with pytest.raises(ParityError, match="takes `v__c`"):
        measure_impact(
            other,
            request(),
            CheckedRows({}, []),
            offline=[cells([]), cells([])],
            online=[cells([]), cells([])],
            features=[],
            threshold=0.5,
        )


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (Dtype.INT64, [1, None, 2**53 + 1, -(2**63)]),
        (Dtype.FLOAT32, [0.5, None, math.nan, -0.0]),
        (Dtype.BOOL, [True, None, False, True]),
        (Dtype.UNIX_TIMESTAMP, [0, None, -1, 1_323_475_199]),
        (Dtype.STRING, ["x", None, "", "\u00e9"]),
        (Dtype.STRING_LIST, [("a", "b"), None, (), ("c",)]),
    ],
)
def test_column_is_the_one_that_training_makes(
    dtype: Dtype, values: list[PlainValue | None]
) -> None:
    as_of_us = [DAY_US, 2 * DAY_US, 3 * DAY_US, 4 * DAY_US]
    table = pa.table({"x": to_arrow(dtype, values)})
    frame = feature_frame(table, (Field("x", dtype),), as_of_us=np.array(as_of_us))
    ours = pd.DataFrame({"x": model_column(dtype, values, as_of_us)})
    pd.testing.assert_frame_equal(ours, frame, check_exact=True)


def fitted() -> LogisticRegression:
    frame = pd.DataFrame({"v__a": [0.0, 1.0, 2.0, 3.0], "v__b": [1.0, 0.0, 1.0, 0.0]})
    return LogisticRegression().fit(frame, [0, 0, 1, 1])


def test_folder_of_training_is_loaded_when_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    folder.mkdir()
    joblib.dump(fitted(), folder / "model.joblib")
    digest = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
    record = {"features": [["v__a", "Float64"], ["v__b", "Float64"]], "model_sha256": digest}
    (folder / "model.json").write_text(json.dumps(record))
    (model,) = load_models([folder], is_trusted=True)
    assert (model.name, model.features) == ("churn", ("v__a", "v__b"))
    assert model.score(pd.DataFrame({"v__a": [0.0, 3.0], "v__b": [1.0, 0.0]}))[1] > 0.5
    with pytest.raises(ConfigurationError, match="any code"):
        load_models([folder], is_trusted=False)
    (folder / "model.joblib").write_bytes(b"another")
    with pytest.raises(ParityError, match="is not the file"):
        load_models([folder], is_trusted=True)


def test_file_is_loaded_when_it_knows_its_features(tmp_path: Path) -> None:
    path = tmp_path / "churn.joblib"
    joblib.dump(make_pipeline(fitted()), path)
    (model,) = load_models([path], is_trusted=True)
    assert model.features == ("v__a", "v__b")
    joblib.dump(LogisticRegression(), path)
    with pytest.raises(ParityError, match="knows its feature names"):
        load_models([path], is_trusted=True)
    path.write_bytes(b"no model")
    with pytest.raises(ParityError, match="cannot be loaded"):
        load_models([path], is_trusted=True)
