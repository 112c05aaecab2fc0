"""Whether an application gets the score that the offline store would give, to the last bit.

Each row's feature vector is fetched from the gateway and scored; the same row is joined offline as
of the very instant that the gateway's answer states, with all rows that exist now (`latest_truth`,
as the online store holds them), and scored by the same model. Logistic regression sums in an order
that the number of rows decides, so both sides are scored in the same batches.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evenstore.client.answers import OnlineFeatures, Readiness
from evenstore.client.http import FeatureClient
from evenstore.client.values import Undecodable, decode_online, to_arrow
from evenstore.clock import format_us
from evenstore.errors import SchemaDriftError, TrainingError
from evenstore.offline.history import read_history
from evenstore.progress import open_progress
from evenstore.schema.compile import compile_store
from evenstore.schema.model import Field, RegistrySchema
from evenstore.schema.repository import open_repository
from evenstore.schema.request import resolve_service
from evenstore.semantics import Knowledge
from training.artefact import Artefact, check_schema, load_artefact
from training.entity_rows import check_request_rows, read_entity_rows
from training.evaluation.metrics import Probabilities
from training.frame import feature_frame

__all__ = [
    "Agreement",
    "AgreementSettings",
    "FeatureDifference",
    "RowDifference",
    "check_agreement",
    "compare_scores",
    "ulps_between",
]

_AS_OF = "_agreement_as_of"


@dataclass(frozen=True, slots=True)
class AgreementSettings:
    """What to compare.

    Attributes:
        model: Folder of the model.
        repo: Folder of the feature repo.
        gateway: Base URL of the running gateway.
        entity_rows: Parquet file with the join keys and request columns of the model's service.
        batch_rows: Entity rows per request.
    """

    model: Path
    repo: Path
    gateway: str
    entity_rows: Path
    batch_rows: int


@dataclass(frozen=True, slots=True)
class FeatureDifference:
    """One input of the model that differs, as the model sees it; None for null."""

    feature: str
    online_value: float | str | None
    offline_value: float | str | None


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row whose score or inputs differ.

    Attributes:
        row_idx: Its place in the file, from 0.
        entity_row: What was asked for, as text by column.
        online_score: Of the gateway's vector.
        offline_score: Of the joined vector.
        ulps: How many float64 lie between the scores, one of them included.
        features: The inputs that differ.
    """

    row_idx: int
    entity_row: dict[str, str]
    online_score: float
    offline_score: float
    ulps: int
    features: tuple[FeatureDifference, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The result of a comparison.

    Attributes:
        feature_service: The model's service.
        gateway: Its base URL.
        is_clock_frozen: Whether the gateway runs in test mode.
        first_as_of: The earliest instant that an answer stated, RFC 3339 in UTC.
        last_as_of: The latest.
        n_rows: Rows compared.
        n_features: Inputs of the model per row.
        differences: Rows that differ in score or inputs, in the file's order.
    """

    feature_service: str
    gateway: str
    is_clock_frozen: bool
    first_as_of: str
    last_as_of: str
    n_rows: int
    n_features: int
    differences: tuple[RowDifference, ...]

    @property
    def n_scores_equal(self) -> int:
        """Rows whose two scores have the same bits."""
        return self.n_rows - sum(row.ulps > 0 for row in self.differences)

    @property
    def n_inputs_differing(self) -> int:
        """Inputs of the model that differ, over all rows."""
        return sum(len(row.features) for row in self.differences)


def check_agreement(settings: AgreementSettings) -> Agreement:
    """Score every row from both sides and compare; reads both stores and writes to neither.

    Raises:
        TrainingError: The folder holds no model, or a value cannot be taken by it.
        SchemaDriftError: Model, registry and gateway have not one schema.
        EntityRowsError: The rows lack a column, or have one that cannot be used.
        GatewayError: The gateway is down, refused or failed.
        ConfigurationError: There is no repo or file.
        OfflineStoreError: The sources cannot be read.
    """
    artefact = load_artefact(settings.model)
    with FeatureClient(settings.gateway) as client:
        # First, because it is quick to fail: opening the registry takes seconds.
        readiness = client.readiness()
        store = open_repository(settings.repo)
        registry = compile_store(store)
        request = resolve_service(registry, artefact.record.feature_service)
        check_schema(artefact, request)
        _refuse_other_schema(readiness, registry)
        rows = read_entity_rows(settings.entity_rows)
        rows = check_request_rows(rows, request, made_columns=(_AS_OF,))
        rows = rows.select(
            [field.name for field in (*request.entity_columns, *request.request_fields)]
        )
        answers = _ask(client, request.name, rows, batch_rows=settings.batch_rows)
    as_of_us = np.repeat(
        np.array([answer.as_of_us for answer in answers], dtype=np.int64),
        [len(answer) for answer in answers],
    )
    with open_progress("point-in-time join", total=rows.num_rows) as progress:
        offline = read_history(
            store,
            request,
            rows.append_column(_AS_OF, pa.array(as_of_us).cast(pa.timestamp("us", tz="UTC"))),
            knowledge=Knowledge.LATEST_TRUTH,
            event_timestamp_column=_AS_OF,
        )
        progress.advance(rows.num_rows)
    return Agreement(
        feature_service=request.name,
        gateway=settings.gateway,
        is_clock_frozen=any(answer.is_clock_frozen for answer in answers),
        first_as_of=format_us(int(as_of_us.min())),
        last_as_of=format_us(int(as_of_us.max())),
        n_rows=rows.num_rows,
        n_features=len(artefact.record.features),
        differences=tuple(compare_scores(artefact, rows, answers, offline)),
    )


def compare_scores(
    artefact: Artefact, rows: pa.Table, answers: Sequence[OnlineFeatures], offline: pa.Table
) -> list[RowDifference]:
    """Score both sides batch by batch and return the rows that differ.

    Args:
        artefact: The model.
        rows: What was asked for.
        answers: The gateway's, one per batch; together as long as the rows.
        offline: The joined rows.

    Raises:
        TrainingError: The gateway's answer lacks a feature, or has a value of another type; or a
            value is infinite.
    """
    differences: list[RowDifference] = []
    features, start = artefact.record.features, 0
    for answer in answers:
        as_of_us = np.full(len(answer), answer.as_of_us, dtype=np.int64)
        frames = [
            feature_frame(table, features, as_of_us=as_of_us)
            for table in (_online_table(answer, features), offline.slice(start, len(answer)))
        ]
        scores = [artefact.score_frame(frame) for frame in frames]
        differences += _differences(rows.slice(start, len(answer)), frames, scores, start)
        start += len(answer)
    return differences


def ulps_between(one: float, other: float) -> int:
    """Count the steps from one finite float64 to the next that lie between two; 0 when equal.

    0.0 and -0.0 are a step apart, as they differ in a bit.
    """
    return abs(_ordered(one) - _ordered(other))


def _ordered(value: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    # Negative floats count downwards from -1, so that neighbours have neighbouring numbers.
    return bits if bits >= 0 else -(bits + 2**63) - 1


def _refuse_other_schema(readiness: Readiness, registry: RegistrySchema) -> None:
    served = (readiness.project, readiness.schema_fingerprint)
    if served != (registry.project, registry.fingerprint):
        msg = (
            f"the gateway serves schema {served[1]} of project `{served[0]}`, the registry has "
            f"{registry.fingerprint} of `{registry.project}`"
        )
        raise SchemaDriftError(
            msg, hint="wait until the gateway has loaded the last `feast apply`, or restart it"
        )


def _ask(
    client: FeatureClient, feature_service: str, rows: pa.Table, *, batch_rows: int
) -> list[OnlineFeatures]:
    answers = []
    with open_progress("online lookups", total=rows.num_rows) as progress:
        for start in range(0, rows.num_rows, batch_rows):
            batch = rows.slice(start, batch_rows)
            answer = client.get_online_features(
                entities={name: batch.column(name).to_pylist() for name in batch.column_names},
                feature_service=feature_service,
                full_feature_names=True,
            )
            if len(answer) != batch.num_rows:
                msg = f"asked for {batch.num_rows} rows, the gateway answered {len(answer)}"
                raise TrainingError(
                    msg, hint="is there a proxy before the gateway that changes answers?"
                )
            answers.append(answer)
            progress.advance(batch.num_rows)
    return answers


def _online_table(answer: OnlineFeatures, features: tuple[Field, ...]) -> pa.Table:
    columns = {}
    for field in features:
        if field.name not in answer.values:
            msg = f"the gateway's answer lacks `{field.name}`"
            raise TrainingError(
                msg, hint="apply the registry and let the gateway load it, then retry"
            )
        values = decode_online(field.dtype, answer.values[field.name], answer.statuses[field.name])
        for value in values:
            if isinstance(value, Undecodable):
                msg = f"`{field.name}`: the gateway gave {value.raw} for {field.dtype.value}"
                raise TrainingError(
                    msg, hint="`evenstore-parity check` shows every value that is not as declared"
                )
        columns[field.name] = to_arrow(field.dtype, values)
    return pa.table(columns)


def _differences(
    rows: Any, frames: Sequence[Any], scores: Sequence[Probabilities], start: int
) -> list[RowDifference]:
    online, offline = frames
    differing = {name: _differs(online[name], offline[name]) for name in online.columns}
    is_any = scores[0].view(np.int64) != scores[1].view(np.int64)
    for flags in differing.values():
        is_any |= flags
    return [
        RowDifference(
            row_idx=start + int(i),
            entity_row={name: str(rows.column(name)[int(i)].as_py()) for name in rows.column_names},
            online_score=float(scores[0][i]),
            offline_score=float(scores[1][i]),
            ulps=ulps_between(float(scores[0][i]), float(scores[1][i])),
            features=tuple(
                FeatureDifference(name, _plain(online[name][i]), _plain(offline[name][i]))
                for name, flags in differing.items()
                if flags[i]
            ),
        )
        for i in np.flatnonzero(is_any)
    ]


def _differs(online: Any, offline: Any) -> Any:
    if online.dtype == object:
        pairs = zip(online, offline, strict=True)
        return np.array([a != b for a, b in pairs], dtype=np.bool_)
    one, other = online.to_numpy(), offline.to_numpy()
    is_equal = one.view(np.int64) == other.view(np.int64)
    return ~(is_equal | (np.isnan(one) & np.isnan(other)))


def _plain(value: Any) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    return None if np.isnan(value) else float(value)
