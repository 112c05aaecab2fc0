"""The report of a full comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from evenstore.clock import Clock
from evenstore.errors import ParityError
from evenstore.offline.retry import retry_on_change
from evenstore.schema.compile import compile_store
from parity.causes.cell_command import open_cell_command
from parity.causes.find import CauseContext, find_causes
from parity.causes.store_evidence import StoreEvidence
from parity.full.comparison import Compared, compare_view
from parity.full.settings import FullSettings
from parity.full.subject import Subject, open_subject
from parity.report import Difference, FeatureComparison, Mode, ParityReport, attach_findings
from parity.view_facts import ViewFacts

__all__ = ["run_full"]


def run_full(settings: FullSettings, clock: Clock) -> ParityReport:
    """Compare every entity of a view in both stores. Reads both and writes to neither.

    Args:
        settings: What to compare.
        clock: Says the one instant that ttl goes by on both sides.

    Raises:
        ConfigurationError: The folder is no Feast repo, or its online store is not evenstore's.
        UnknownFeatureError: The registry has no such feature view.
        ParityError: The view has nothing that could be compared, or neither store has an entity.
        OfflineStoreError: The source cannot be read.
        OnlineStoreError: Redis refused or cannot be reached.
    """
    subject = open_subject(settings.repo, settings.view)
    compared = retry_on_change(lambda: compare_view(subject, settings, clock))
    _check_any(subject, settings, compared)
    report = _report(subject, settings, clock, compared)
    if not (settings.finds_causes and report.differences):
        return report
    until_us = compared.snapshot.until_us

    def seen_until(difference: Difference) -> dict[str, int]:
        return {difference.view_name: max(until_us, difference.online.event_us or until_us)}

    command = open_cell_command(settings.repo, seen_until=seen_until)
    evidence = StoreEvidence(subject.store)
    context = CauseContext(subject.request, evidence, command, seen_until=seen_until)
    return attach_findings(report, find_causes(report.differences, context))


def _check_any(subject: Subject, settings: FullSettings, compared: Compared) -> None:
    """Refuse to report on nothing: parity of no entity proves nothing."""
    # Rows that landed meanwhile are entities, and the report counts them.
    if compared.tally.n_rows or compared.looked_again.n_landed:
        return
    name = subject.table.name
    if settings.sample_share < 1:
        msg = (
            f"{name}: a sample of {settings.sample_share:.3%} has no entity;"
            f" the offline store has {compared.newest.n_rows:,}"
        )
        raise ParityError(msg, hint="raise --sample-share, or take another --seed")
    msg = f"{name}: neither store has an entity to compare"
    hint = "is the source's path right, and was the view materialized? see also --until now"
    if compared.newest.n_left_out:
        hint = (
            f"{compared.newest.n_left_out:,} source rows name no entity or no instant:"
            " are its key and timestamp columns right?"
        )
    raise ParityError(msg, hint=hint)


def _report(
    subject: Subject, settings: FullSettings, clock: Clock, compared: Compared
) -> ParityReport:
    snapshot = compared.snapshot
    is_sampled = settings.sample_share < 1
    # Once: figures of long lists take seconds.
    features = compared.tally.compared(n_ambiguous=compared.newest.n_ambiguous)
    stopped = (
        f"stopped after {compared.tally.n_differing_rows:,} differing entities:"
        " the others were not compared"
    )
    return ParityReport(
        project=subject.project,
        mode=Mode.FULL,
        subject=subject.table.name,
        gateway=None,
        schema_fingerprint=compile_store(subject.store).fingerprint,
        is_clock_frozen=clock.is_frozen,
        n_rows=compared.tally.n_rows,
        first_as_of_us=snapshot.as_of_us,
        last_as_of_us=snapshot.as_of_us,
        min_coverage=settings.min_coverage,
        features=features,
        seed=settings.seed if is_sampled else None,
        view_facts=(_facts(subject, compared),),
        other_violations=() if compared.is_complete else (stopped,),
        notes=tuple(_notes(subject, settings, compared, features)),
        sections={"full": _section(settings, compared)},
    )


def _facts(subject: Subject, compared: Compared) -> ViewFacts:
    watermark_us = None if subject.watermark is None else subject.watermark.event_end_us
    as_of_us = compared.snapshot.as_of_us
    return ViewFacts(
        view_name=subject.table.name,
        instants=compared.tally.instants.measured(),
        ttl_us=subject.read.view.ttl_us,
        watermark_us=watermark_us,
        lag_us=None if watermark_us is None else as_of_us - watermark_us,
        promise_us=subject.promise_us,
    )


def _section(settings: FullSettings, compared: Compared) -> dict[str, object]:
    return {
        "until_us": compared.snapshot.until_us,
        "sample_share": settings.sample_share,
        "is_complete": compared.is_complete,
        "n_offline_entities": compared.newest.n_rows,
        "n_source_rows_left_out": compared.newest.n_left_out,
        "n_stored_keys": compared.n_stored_keys,
        "n_differing_entities": compared.tally.n_differing_rows,
        **asdict(compared.looked_again),
    }


def _notes(
    subject: Subject,
    settings: FullSettings,
    compared: Compared,
    features: Sequence[FeatureComparison],
) -> Iterator[str]:
    looked = compared.looked_again
    if subject.watermark is None:
        yield "no run is recorded: the whole source counts as due"
    if settings.sample_share < 1:
        yield f"a sample of {settings.sample_share:.3%} of the entities was compared"
    if looked.n_landed:
        yield (
            f"{looked.n_landed:,} entities were left out: their rows were written after the"
            " comparison began"
        )
    if looked.n_settled:
        yield f"{looked.n_settled:,} entities differed at first and agreed when read again"
    if compared.newest.n_left_out:
        yield f"{compared.newest.n_left_out:,} source rows name no entity or no instant"
    n_differing = sum(feature.counts.n_differing for feature in features)
    n_kept = sum(len(feature.differences) for feature in features)
    if n_kept < n_differing:
        yield f"{n_kept:,} of {n_differing:,} differing values are listed: see --max-differences"
