"""The nightly batch scorer: entity rows in, the same rows with a score out.

Features are joined as known now (`latest_truth`), for a scorer that runs now knows what is known
now, and the gateway would serve the same. For a fair look at the past, train and measure with
`as_known` instead: a late correction that this join sees was not there then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.clock import Clock, format_us
from evenstore.errors import EntityRowsError, TrainingError
from evenstore.offline.history import read_history
from evenstore.progress import Progress
from evenstore.schema.compile import compile_store
from evenstore.schema.model import Field
from evenstore.schema.repository import open_repository
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Knowledge, Status
from evenstore.whole_file import whole_file
from training.artefact import check_schema, load_artefact
from training.entity_rows import check_request_rows, read_entity_rows
from training.frame import instants_of
from training.manifest import status_of
from training.splits.row_indexes import Instants

__all__ = ["MADE_COLUMNS", "ScoreReport", "ScoreSettings", "score_file"]

MADE_COLUMNS = ("score", "as_of", "n_missing")
"""What the scorer appends: the probability, each row's instant, its features without a value."""

_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """What to score.

    Attributes:
        model: Folder of the model.
        repo: Folder of the feature repo.
        entity_rows: Parquet file with the join keys and request columns of the model's service.
        out: Parquet file to write.
        as_of_us: The instant of every row; None for the clock's present instant.
        event_timestamp_column: Column with the instant of each row, instead.
    """

    model: Path
    repo: Path
    entity_rows: Path
    out: Path
    as_of_us: int | None = None
    event_timestamp_column: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What was scored.

    Attributes:
        feature_service: The service whose vectors were scored.
        first_as_of: The earliest instant of a row, RFC 3339 in UTC.
        last_as_of: The latest.
        n_rows: Rows written.
        n_rows_missing: Rows in which a feature has no value: not found, too old, or null.
        mean_score: Mean of all scores.
        path: The file that was written.
    """

    feature_service: str
    first_as_of: str
    last_as_of: str
    n_rows: int
    n_rows_missing: int
    mean_score: float
    path: str


def score_file(settings: ScoreSettings, *, clock: Clock, progress: Progress) -> ScoreReport:
    """Score a file of entity rows.

    Args:
        settings: What to score.
        clock: Read once, where no instant is given.
        progress: Told of four steps: model and rows read, features joined, scored, written.

    Shapes:
        out: the rows of the file in their order x (its columns, `score` float64, `as_of`
            timestamp[us, UTC], `n_missing` int32).

    Guarantees:
        The file is written whole or not at all.

    Raises:
        TrainingError: The folder holds no model, a feature has a value that it cannot take, or no
            row has any feature.
        SchemaDriftError: The feature service is not what the model was trained on.
        EntityRowsError: The rows lack a column, have one that cannot be used, or an instant lies in
            the future.
        ConfigurationError: There is no repo or file, or nothing can be written.
        SourceUnavailableError: A source cannot be read.
    """
    artefact = load_artefact(settings.model)
    record = artefact.record
    store = open_repository(settings.repo)
    request = resolve_service(compile_store(store), record.feature_service)
    check_schema(artefact, request)
    rows, as_of_us = _read_rows(settings, request, clock)
    entity_table = rows.append_column("as_of", pa.array(as_of_us).cast(_INSTANT))
    progress.advance()
    joined = read_history(
        store,
        request,
        entity_table,
        knowledge=Knowledge.LATEST_TRUTH,
        event_timestamp_column="as_of",
    )
    progress.advance()
    scores = artefact.score(joined, as_of_us=as_of_us)
    n_missing = _count_missing(joined, record.features)
    progress.advance()
    made = (pa.array(scores), entity_table.column("as_of"), pa.array(n_missing))
    for name, values in zip(MADE_COLUMNS, made, strict=True):
        rows = rows.append_column(name, values)
    with whole_file(settings.out) as temporary:
        pq.write_table(rows, temporary, compression="zstd")
    progress.advance()
    return ScoreReport(
        feature_service=record.feature_service,
        first_as_of=format_us(int(as_of_us.min())),
        last_as_of=format_us(int(as_of_us.max())),
        n_rows=rows.num_rows,
        n_rows_missing=int((n_missing > 0).sum()),
        mean_score=float(scores.mean()),
        path=str(settings.out),
    )


def _read_rows(
    settings: ScoreSettings, request: FeatureRequest, clock: Clock
) -> tuple[pa.Table, Instants]:
    column = settings.event_timestamp_column
    rows = check_request_rows(
        read_entity_rows(settings.entity_rows),
        request,
        event_timestamp_column=column,
        made_columns=MADE_COLUMNS,
    )
    if column is not None:
        as_of_us = instants_of(rows, column)
    else:
        instant_us = clock.now_us() if settings.as_of_us is None else settings.as_of_us
        as_of_us = np.full(rows.num_rows, instant_us, dtype=np.int64)
    if int(as_of_us.max()) > clock.now_us():
        msg = f"a row's instant, {format_us(int(as_of_us.max()))}, is still to come"
        raise EntityRowsError(msg, hint="nobody knows features of the future: take now, or before")
    return rows, as_of_us


def _count_missing(joined: pa.Table, features: tuple[Field, ...]) -> npt.NDArray[np.int32]:
    """Count the features without a value in each row; rows without any at all are no answer."""
    n_missing = np.zeros(joined.num_rows, dtype=np.int32)
    for field in features:
        n_missing += joined.column(status_of(field.name)).to_numpy() != Status.PRESENT
    if (n_missing == len(features)).all():
        msg = f"none of {len(n_missing):,} rows has any of the {len(features)} features"
        raise TrainingError(
            msg,
            hint="are the keys those of the feature tables, and is the instant within their ttl?",
        )
    return n_missing
