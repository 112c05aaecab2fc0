"""Compares both sides of a golden set, and explains each step's differences while its rows stand.

The next step overwrites what a differing answer was made of, so causes are looked for in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from feast import FeatureStore

from evenstore.schema.repository import load_repository_config
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Knowledge
from parity.causes.cell_command import open_cell_command
from parity.causes.find import CauseContext, find_causes
from parity.causes.finding import Finding
from parity.causes.store_evidence import StoreEvidence
from parity.compare import CellColumn, compare_columns
from parity.golden_run.repository import GoldenRepo
from parity.golden_set.golden_file import GoldenFile
from parity.key_columns import key_columns_by_view
from parity.report import CheckedRows, Difference, FeatureComparison, compare_feature

__all__ = ["Explanation", "compare_all"]


class Explanation:
    """The causes of differing cells, step by step.

    Args:
        golden: The golden set.
        repo: The repo it is run on.
        offline: The offline cells of all entity rows.
        copy: Folder of the run's copy of the repo, which names its project and Redis.

    Attributes:
        findings: By view, feature and position of the entity row.
    """

    def __init__(
        self, golden: GoldenFile, repo: GoldenRepo, offline: Sequence[CellColumn], copy: Path
    ) -> None:
        self._golden = golden
        self._repo = repo
        self._offline = offline
        self._copy = copy
        self._context: CauseContext | None = None
        self.findings: dict[tuple[str, str, int], Finding] = {}

    def add_step(self, online: Sequence[CellColumn], as_of_us: int) -> None:
        """Compare one instant's answers, and find out why those differ that do.

        Raises:
            OnlineStoreError: Redis refused or cannot be reached.
            OfflineStoreError: A source cannot be read.
        """
        differences = self._differences(online, as_of_us)
        if not differences:
            return
        findings = find_causes(differences, self._open_context())
        for difference, finding in zip(differences, findings, strict=True):
            place = difference.view_name, difference.feature, difference.row_idx
            self.findings[place] = finding

    def _differences(self, online: Sequence[CellColumn], as_of_us: int) -> list[Difference]:
        found = self._golden.rows_at(as_of_us)
        columns = {
            name: values[found.start : found.stop] for name, values in self._golden.columns.items()
        }
        rows = CheckedRows(columns, [as_of_us] * len(found))
        offline = [
            CellColumn(
                column.values[found.start : found.stop],
                column.statuses[found.start : found.stop],
                column.event_us[found.start : found.stop],
            )
            for column in self._offline
        ]
        if all(map(_is_agreed, offline, online)):
            return []
        return [
            replace(difference, row_idx=difference.row_idx + found.start)
            for feature in compare_all(self._golden, self._repo.request, rows, offline, online)
            for difference in feature.differences
        ]

    def _open_context(self) -> CauseContext:
        if self._context is None:
            repo = self._repo
            # The run's project and Redis, and the sources of the repo.
            store = FeatureStore(
                config=load_repository_config(self._copy), repo_path=str(repo.path)
            )
            self._context = CauseContext(
                request=repo.request,
                reader=StoreEvidence(store),
                command=open_cell_command(
                    repo.path,
                    feature_service=repo.request.name,
                    knowledge=Knowledge.AS_KNOWN,
                ),
                knowledge=Knowledge.AS_KNOWN,
            )
        return self._context


def _is_agreed(offline: CellColumn, online: CellColumn) -> bool:
    return all(outcome.is_agreement for outcome in compare_columns(offline, online))


def compare_all(
    golden: GoldenFile,
    request: FeatureRequest,
    rows: CheckedRows,
    offline: Sequence[CellColumn],
    online: Sequence[CellColumn],
) -> tuple[FeatureComparison, ...]:
    """Compare every feature of a service, for all entity rows or those of one instant."""
    key_columns = key_columns_by_view(request)
    is_whole = len(rows.as_of_us) == golden.n_rows
    never = [False] * len(rows.as_of_us)
    return tuple(
        compare_feature(
            column,
            rows,
            key_columns=key_columns[column.view_name],
            offline=offline_cells,
            online=online_cells,
            ambiguous=golden.is_tied(column.view_name) if is_whole else never,
        )
        for column, offline_cells, online_cells in zip(
            request.columns, offline, online, strict=True
        )
    )
