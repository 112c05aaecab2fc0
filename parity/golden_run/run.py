"""One golden run: a world of its own, stepped through the set's instants, and a report.

The gateway starts, and the offline join runs, while the sources are copied. Then each instant is a
materialization run and a lookup over HTTP.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from evenstore.client.http import FeatureClient
from evenstore.client.served_schema import refuse_other_schema
from evenstore.clock import Clock, format_us
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import ParityError
from evenstore.offline.limits import session_limits
from evenstore.offline.retry import retry_on_change
from evenstore.online.connection import open_redis
from evenstore.progress import Progress, open_progress
from parity.causes.finding import Finding
from parity.compare import CellColumn
from parity.golden_run.explanation import Explanation, compare_all
from parity.golden_run.frozen import FrozenComparison, compare_with_frozen
from parity.golden_run.gateway_process import GatewayProcess, run_gateway
from parity.golden_run.native_read import NativeSide
from parity.golden_run.registry_copy import write_repo_copy
from parity.golden_run.repository import GoldenRepo, open_golden_repo
from parity.golden_run.settings import RunSettings
from parity.golden_run.steps import Steps, ViewToLoad, views_to_load
from parity.golden_run.world import WorldKeys, open_folder, remove_dead_folders
from parity.golden_set.as_known import read_as_known
from parity.golden_set.golden_file import GoldenFile, read_golden_file
from parity.online import OnlineAnswers, OnlineSide
from parity.report import CheckedRows, Mode, ParityReport, Refusal, attach_findings

__all__ = ["run_golden_set"]


def run_golden_set(settings: RunSettings, clock: Clock) -> ParityReport:
    """Compare what a gateway serves for a golden set with what was known, and with what is frozen.

    The repo, its project's keys and its sources are only read. The run's own keys, files and
    processes are gone when it returns or raises; those of a run that was killed are removed first.

    Args:
        settings: What to run.
        clock: The present: no instant of the set may lie after it.

    Raises:
        ParityError: The golden set cannot be used, or the gateway does not start.
        SchemaDriftError: The service is defined otherwise than when the set was built.
        EvenstoreError: A store cannot be read or written.
    """
    golden = read_golden_file(settings.golden)
    if not golden.n_rows or golden.as_of_us[-1] > clock.now_us():
        msg = f"`{settings.golden}` has no rows, or rows that lie ahead"
        raise ParityError(msg, hint="is the clock right? else build the golden set anew")
    repo = open_golden_repo(settings.repo, golden)
    remove_dead_folders()
    with ExitStack() as world:
        executor = world.enter_context(ThreadPoolExecutor(1, thread_name_prefix="parity-join"))
        joining = executor.submit(
            read_as_known, repo.store, repo.request, golden.columns, golden.as_of_us
        )
        folder = world.enter_context(open_folder())
        own_home = folder / "redis" if settings.has_own_redis else None
        url = world.enter_context(repo.redis_url(own_home))
        run = _Run(golden, repo, settings, folder, url)
        online = run.execute(joining)
        offline = joining.result()
    return _report(settings, golden, repo, offline, online)


@dataclass(frozen=True, slots=True)
class _Online:
    """What the gateway answered for the whole set, and what must be known of the run.

    Attributes:
        columns: One per feature, all entity rows.
        refusals: Entity rows that it would not answer for.
        findings: Why cells differ, by feature and entity row.
        n_never_known: Rows of the sources that no instant can know.
    """

    columns: list[CellColumn]
    refusals: tuple[Refusal, ...]
    findings: dict[tuple[str, str, int], Finding]
    n_never_known: int


class _Run:
    """The online side of one run, in a world that is opened and closed with it."""

    def __init__(
        self, golden: GoldenFile, repo: GoldenRepo, settings: RunSettings, folder: Path, url: str
    ) -> None:
        self._golden = golden
        self._repo = repo
        self._settings = settings
        self._folder = folder
        self._url = url
        self._client = open_redis(url)
        self._id = uuid.uuid4().hex[:8]
        self._keys = WorldKeys(self._client, repo.store.project)
        self._project = self._keys.project_of(self._id)

    def execute(self, joining: Future[list[CellColumn]]) -> _Online:
        """Step through the instants; a step's differences are explained before the next one."""
        golden, repo = self._golden, self._repo
        views = views_to_load(repo.request.reads, golden.columns)
        layout = repo.registry.layout
        redis_keys = list(
            dict.fromkeys(key for view in views for key in view.redis_keys(self._project, layout))
        )
        with ExitStack() as world:
            world.callback(self._client.close)
            self._keys.remove_dead_runs()
            world.enter_context(self._keys.hold(self._id, redis_keys))
            copy = self._write_copy()
            gateway = world.enter_context(
                run_gateway(copy, self._folder, frozen_us=golden.as_of_us[-1])
            )
            steps = self._prepare(views)
            client = world.enter_context(self._connect(gateway))
            offline = joining.result()
            explained = Explanation(golden, repo, offline, copy)
            answers: list[OnlineAnswers] = []
            with open_progress("golden entity rows", total=golden.n_rows) as progress:
                for i, as_of_us in enumerate(golden.instants_us):
                    steps.load(i)
                    self._keys.keep(self._id, redis_keys)
                    answers.append(self._look_up(client, as_of_us, progress))
                    explained.add_step(answers[-1].columns, as_of_us)
        return _join_answers(answers, explained.findings, steps.n_never_known)

    def _write_copy(self) -> Path:
        copy = self._folder / "repo"
        copy.mkdir()
        write_repo_copy(
            self._repo.store,
            copy,
            project=self._project,
            redis_url=self._url,
            layout=self._repo.registry.layout,
        )
        return copy

    def _prepare(self, views: Sequence[ViewToLoad]) -> Steps:
        limits = session_limits(self._repo.store.config)
        layout = self._repo.registry.layout
        steps = Steps(self._client, self._project, layout, self._golden.instants_us)
        with open_progress("known rows", total=len(views), unit="views") as progress:
            for view in views:
                retry_on_change(functools.partial(self._prepare_view, steps, view, limits))
                progress.advance()
        return steps

    def _prepare_view(self, steps: Steps, view: ViewToLoad, limits: SessionLimits) -> None:
        folder = Path(tempfile.mkdtemp(prefix="known-", dir=self._folder))
        steps.prepare(view, self._repo.open_source(view.view), folder, limits)

    @contextmanager
    def _connect(self, gateway: GatewayProcess) -> Iterator[FeatureClient]:
        url = gateway.wait_until_ready()
        with FeatureClient(url, timeout_s=60.0) as client:
            registry = dataclasses.replace(self._repo.registry, project=self._project)
            refuse_other_schema(client.readiness(), registry)
            yield client

    def _look_up(self, client: FeatureClient, as_of_us: int, progress: Progress) -> OnlineAnswers:
        """Look up one instant's entity rows: the last one's as clients of Feast's form do."""
        golden, request = self._golden, self._repo.request
        rows = golden.rows_at(as_of_us)
        columns = {name: values[rows.start : rows.stop] for name, values in golden.columns.items()}
        batch_rows = self._settings.batch_rows
        if as_of_us == golden.as_of_us[-1]:
            side = OnlineSide(client, request, batch_rows=batch_rows)
            answers = side.read_cells(columns, len(rows), started_us=as_of_us, progress=progress)
        else:
            native = NativeSide(client, request, batch_rows=batch_rows)
            answers = native.read_cells(columns, len(rows), as_of_us=as_of_us)
            progress.advance(len(rows))
        if set(answers.as_of_us) != {as_of_us}:
            msg = "the run's own gateway did not answer for the instant asked for"
            raise ParityError(msg, hint=f"asked for {format_us(as_of_us)}")
        return answers


def _join_answers(
    answers: Sequence[OnlineAnswers],
    findings: dict[tuple[str, str, int], Finding],
    n_never_known: int,
) -> _Online:
    first_row = 0
    refusals: list[Refusal] = []
    for answer in answers:
        refusals += [
            dataclasses.replace(refusal, row_idx=first_row + refusal.row_idx)
            for refusal in answer.refusals
        ]
        first_row += len(answer.as_of_us)
    by_feature = zip(*(answer.columns for answer in answers), strict=True)
    columns = [
        CellColumn(
            list(itertools.chain.from_iterable(part.values for part in parts)),
            list(itertools.chain.from_iterable(part.statuses for part in parts)),
            list(itertools.chain.from_iterable(part.event_us for part in parts)),
        )
        for parts in by_feature
    ]
    return _Online(columns, tuple(refusals), findings, n_never_known)


def _report(
    settings: RunSettings,
    golden: GoldenFile,
    repo: GoldenRepo,
    offline: list[CellColumn],
    online: _Online,
) -> ParityReport:
    rows = CheckedRows(golden.columns, golden.as_of_us)
    frozen = compare_with_frozen(golden, offline, online.columns)
    report = ParityReport(
        project=repo.store.project,
        mode=Mode.GOLDEN,
        subject=golden.feature_service,
        gateway=None,
        schema_fingerprint=repo.registry.fingerprint,
        is_clock_frozen=True,
        seed=golden.seed,
        n_rows=golden.n_rows,
        first_as_of_us=golden.as_of_us[0],
        last_as_of_us=golden.as_of_us[-1],
        min_coverage=settings.min_coverage,
        features=compare_all(golden, repo.request, rows, offline, online.columns),
        strata=golden.strata,
        refusals=online.refusals,
        other_violations=() if frozen is None else frozen.violations(golden),
        notes=tuple(_notes(golden, online.n_never_known)),
        sections={"golden": _section(golden, frozen)},
    )
    findings = [
        online.findings[cell.view_name, cell.feature, cell.row_idx] for cell in report.differences
    ]
    return attach_findings(report, findings)


def _notes(golden: GoldenFile, n_never_known: int) -> Iterator[str]:
    if not golden.is_frozen:
        yield (
            "the golden set holds no frozen values: a fault that both stores share stays unseen "
            "(`golden build --freeze`)"
        )
    if n_never_known:
        yield (
            f"{n_never_known:,} source rows of the golden entities have no created timestamp, "
            "and so are never known"
        )


def _section(golden: GoldenFile, frozen: FrozenComparison | None) -> dict[str, object]:
    section: dict[str, object] = {
        "content_sha256": golden.content_sha256,
        "n_instants": len(golden.instants_us),
        "frozen": None,
    }
    if frozen is not None:
        section["frozen"] = {
            "n_compared": frozen.n_compared,
            "n_differing": len(frozen.differences),
            "differences": [difference.to_json() for difference in frozen.differences],
        }
    return section
