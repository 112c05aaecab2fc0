"""What is declared of views and what their sources hold: pure functions, one finding each."""

from __future__ import annotations

from evenstore.doctor.finding import Finding, Severity, fine
from evenstore.doctor.view_facts import SourceFacts, ViewFacts
from evenstore.errors import SourceUnavailableError
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import TtlEnforcement

__all__ = ["check_view"]

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000


def check_view(view: ViewFacts) -> list[Finding]:
    """Judge one view; what cannot be known because of an earlier finding is left out."""
    if view.schema is None:
        problem = view.problem
        return [
            Finding(
                "view-schema",
                Severity.ERROR,
                problem.message if problem else f"{view.name}: cannot be compiled",
                "the view can be neither materialized nor read online",
                (problem.hint if problem else None) or "change its declaration",
            )
        ]
    found = [fine("view-schema", view.name)]
    if view.source is None:
        found.append(
            Finding(
                "view-source",
                Severity.INFO,
                f"{view.name}: no batch source",
                "its rows come by push only: none can be loaded again when Redis loses them",
                "give its push or stream source a batch source",
            )
        )
    else:
        found += _check_source(view.name, view.source)
    return [*found, _check_ttl(view.schema), _check_enforcement(view.schema)]


def _check_source(name: str, source: SourceFacts) -> list[Finding]:
    found = [_check_files(name, source), _check_created(name, source)]
    if source.files is not None:
        found.append(_check_event(name, source))
    return found


def _check_files(name: str, source: SourceFacts) -> Finding:
    problem = source.problem
    if problem is None:
        n_files = len(source.files.paths) if source.files else 0
        return fine("view-source", f"{name}: {n_files:,} {'file' if n_files == 1 else 'files'}")
    is_away = isinstance(problem, SourceUnavailableError)
    return Finding(
        "view-source",
        # Files may come later; columns that do not fit do not mend themselves.
        Severity.WARNING if is_away else Severity.ERROR,
        problem.message if name in problem.message else f"{name}: {problem.message}",
        "the view can be neither materialized nor joined",
        problem.hint or "make the source readable",
    )


def _check_created(name: str, source: SourceFacts) -> Finding:
    created = source.created_column
    if created is None:
        return Finding(
            "created-column",
            Severity.WARNING,
            f"{name}: the source declares no created timestamp",
            "of two rows with one event timestamp the one read later wins, joins cannot be made "
            "as known at an instant, and training may see corrections before they were made",
            "write the instant of writing into each row, and declare `created_timestamp_column`",
        )
    if source.has_created is False:
        return Finding(
            "created-column",
            Severity.ERROR,
            f"{name}: no file has the created column `{created}`",
            "the source cannot be read",
            "add the column to the files, or correct `created_timestamp_column`",
        )
    unseen = ", by declaration" if source.has_created is None else ""
    return fine("created-column", f"{name}: `{created}`{unseen}")


def _check_event(name: str, source: SourceFacts) -> Finding:
    column, n_nulls = source.event_column, source.n_event_nulls
    if n_nulls is None:
        return Finding(
            "event-column",
            Severity.INFO,
            f"{name}: the files' statistics do not tell the range of `{column}`",
            "joins and runs read every row group, and rows without an instant are not counted",
            "write Parquet with statistics, as most writers do",
        )
    if n_nulls:
        return Finding(
            "event-column",
            Severity.WARNING,
            f"{name}: `{column}` is null in {n_nulls:,} rows",
            "these rows are left out of joins and materializations",
            "give them an event timestamp, or leave them out of the files",
        )
    return fine("event-column", f"{name}: `{column}`")


def _check_ttl(view: FeatureViewSchema) -> Finding:
    if view.ttl_us is not None:
        return fine("view-ttl", f"{view.name}: {_show_span(view.ttl_us)}")
    return Finding(
        "view-ttl",
        Severity.INFO,
        f"{view.name}: no ttl",
        "a value that is never written again is served and joined for ever, also when its "
        "producer has died",
        "declare `ttl`, unless its values do not age",
    )


def _check_enforcement(view: FeatureViewSchema) -> Finding:
    chosen = view.ttl_enforcement
    if view.ttl_us is None or chosen is TtlEnforcement.ENFORCE:
        return fine("ttl-enforcement", f"{view.name}: {chosen.value}")
    is_off = chosen is TtlEnforcement.OFF
    return Finding(
        "ttl-enforcement",
        Severity.WARNING if is_off else Severity.INFO,
        f"{view.name}: `ttl_enforcement` is {chosen.value}",
        "rows older than the ttl are served as PRESENT"
        + ("" if is_off else ": a trial before it is enforced"),
        "remove the tag when no reader needs expired values any more",
    )


def _show_span(span_us: int) -> str:
    if span_us % _DAY_US == 0:
        return f"{span_us // _DAY_US:,} days"
    return f"{span_us / _HOUR_US:,.4g} hours"
