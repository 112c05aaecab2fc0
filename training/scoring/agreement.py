"""Whether an application gets the score that the offline store would give, to the last bit.

Each row's feature vector is fetched from the gateway and scored; the same row is joined offline as
of the very instant that the gateway's answer states, with all rows that exist now (`latest_truth`,
as the online store holds them), and scored by the same model. Logistic regression sums in an order
that the number of rows decides, so both sides are scored in the same batches. Inputs are compared
too, as the stores hold them: rows without any value have equal scores and prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenstore.client.answers import OnlineFeatures
from evenstore.client.http import FeatureClient
from evenstore.client.served_schema import refuse_other_schema
from evenstore.clock import format_us
from evenstore.errors import TrainingError
from evenstore.offline.history import read_history
from evenstore.progress import open_progress
from evenstore.schema.compile import compile_store
from evenstore.schema.repository import open_repository
from evenstore.schema.request import resolve_service
from evenstore.semantics import Knowledge
from training.artefact import check_schema, load_artefact
from training.entity_rows import check_request_rows, read_entity_rows
from training.scoring.comparison import RowDifference, compare_scores

__all__ = ["Agreement", "AgreementSettings", "check_agreement"]

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
        min_coverage: The least share of inputs that must have a value on both sides, 0 to 1.
    """

    model: Path
    repo: Path
    gateway: str
    entity_rows: Path
    batch_rows: int
    min_coverage: float


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
        n_inputs_not_null: Inputs, over all rows, that have a value on both sides; NaN is one.
        min_coverage: The least share of such inputs that was asked for.
        differences: Rows that differ in score or inputs, in the file's order.
    """

    feature_service: str
    gateway: str
    is_clock_frozen: bool
    first_as_of: str
    last_as_of: str
    n_rows: int
    n_features: int
    n_inputs_not_null: int
    min_coverage: float
    differences: tuple[RowDifference, ...]

    @property
    def n_scores_equal(self) -> int:
        """Rows whose two scores have the same bits."""
        return self.n_rows - sum(row.ulps > 0 for row in self.differences)

    @property
    def n_inputs_differing(self) -> int:
        """Inputs of the model that differ in value or status, over all rows."""
        return sum(len(row.features) for row in self.differences)

    @property
    def n_inputs(self) -> int:
        """Inputs of the model, over all rows."""
        return self.n_rows * self.n_features

    @property
    def coverage(self) -> float:
        """Share of the inputs that have a value on both sides."""
        return self.n_inputs_not_null / self.n_inputs

    @property
    def is_covered(self) -> bool:
        """Whether enough inputs have values for equal scores to mean something."""
        return self.coverage >= self.min_coverage

    @property
    def is_proof(self) -> bool:
        """Whether nothing differs and enough was compared."""
        return self.is_covered and not self.differences


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
        refuse_other_schema(readiness, registry)
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
    comparison = compare_scores(artefact, rows, answers, offline)
    return Agreement(
        feature_service=request.name,
        gateway=settings.gateway,
        is_clock_frozen=any(answer.is_clock_frozen for answer in answers),
        first_as_of=format_us(int(as_of_us.min())),
        last_as_of=format_us(int(as_of_us.max())),
        n_rows=rows.num_rows,
        n_features=len(artefact.record.features),
        n_inputs_not_null=comparison.n_inputs_not_null,
        min_coverage=settings.min_coverage,
        differences=comparison.differences,
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
