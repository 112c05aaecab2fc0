"""Finds the one cause of every differing cell: evidence gathered by view, then the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evenstore.client.values import PlainValue
from evenstore.errors import ParityError
from evenstore.schema.model import OnDemandViewSchema
from evenstore.schema.request import FeatureRequest, ViewRead
from evenstore.semantics import Knowledge, Status, decide_status, is_within_ttl
from parity.causes.cell_command import SeenUntil
from parity.causes.cell_facts import CellFacts
from parity.causes.evidence import AskedEntity, EntityEvidence, EvidenceReader
from parity.causes.finding import Finding
from parity.causes.rules import find_cause
from parity.compare import Cell, compare_cells
from parity.report import Difference

__all__ = ["ENTITIES_AT_ONCE", "CauseContext", "find_causes"]

ENTITIES_AT_ONCE = 5_000
"""Entities whose evidence is held at the same time."""


def _no_command(_difference: Difference) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class CauseContext:
    """What is needed to find causes.

    Attributes:
        request: What was compared: the views with their key columns.
        reader: Who is asked for evidence.
        command: Makes the command line that reproduces a cell.
        knowledge: Which rows the offline answers may know of.
        is_read_by_sdk: Whether the online answers came through Feast's SDK.
        seen_until: Where the offline store was not looked at up to each cell's instant.
    """

    request: FeatureRequest
    reader: EvidenceReader
    command: Callable[[Difference], str] = _no_command
    knowledge: Knowledge = Knowledge.LATEST_TRUTH
    is_read_by_sdk: bool = False
    seen_until: SeenUntil | None = None

    def view_read(self, name: str) -> ViewRead | None:
        """Return a view by the name it was asked for by; None for an on-demand view."""
        return next((read for read in self.request.reads if read.output_name == name), None)

    def on_demand(self, name: str) -> OnDemandViewSchema | None:
        """Return an on-demand view, None where the name is another's."""
        return next((view for view in self.request.on_demand if view.name == name), None)


def find_causes(differences: Sequence[Difference], context: CauseContext) -> list[Finding]:
    """Find the cause of each differing cell, in order.

    An output of an on-demand view whose inputs differ has the cause of the first input that does.

    Args:
        differences: All of a comparison: an input that is compared and not among them is equal.
        context: The request and who is asked.

    Raises:
        OnlineStoreError: The online store refused or cannot be reached.
        OfflineStoreError: A source cannot be read.

    Complexity:
        Entities of one view are read together, at most `ENTITIES_AT_ONCE`, and forgotten.
    """
    found: dict[int, Finding] = {}
    stored: dict[str, list[int]] = {}
    computed: list[int] = []
    for i, difference in enumerate(differences):
        if context.on_demand(difference.view_name) is None:
            stored.setdefault(difference.view_name, []).append(i)
        else:
            computed.append(i)
    for name, positions in stored.items():
        read = context.view_read(name)
        cells = [(i, differences[i]) for i in positions]
        found.update(_find_stored(cells, read, context))
    cells_of = {(d.view_name, d.feature, d.row_idx): i for i, d in enumerate(differences)}
    for start in range(0, len(computed), ENTITIES_AT_ONCE):
        inputs = _Inputs(context)
        chunk = computed[start : start + ENTITIES_AT_ONCE]
        inputs.read_all([differences[i] for i in chunk])
        for i in chunk:
            found[i] = _find_computed(differences[i], inputs, cells_of, found)
    return [found[i] for i in range(len(differences))]


def _find_stored(
    cells: Sequence[tuple[int, Difference]], read: ViewRead | None, context: CauseContext
) -> Iterator[tuple[int, Finding]]:
    if read is None:
        msg = f"differences of `{cells[0][1].view_name}`, which was not asked for"
        raise ParityError(msg, hint="find causes with the request that was compared")
    by_entity: dict[AskedEntity, list[tuple[int, Difference]]] = {}
    for i, difference in cells:
        by_entity.setdefault(_entity(difference, read, context), []).append((i, difference))
    asked = list(by_entity)
    for start in range(0, len(asked), ENTITIES_AT_ONCE):
        chunk = asked[start : start + ENTITIES_AT_ONCE]
        for entity, evidence in zip(chunk, context.reader.read(read, chunk), strict=True):
            for i, difference in by_entity[entity]:
                facts = _cell_facts(difference, evidence, context, read, until_us=entity.until_us)
                yield i, find_cause(facts, context.command(difference))


def _find_computed(
    difference: Difference,
    inputs: _Inputs,
    cells: Mapping[tuple[str, str, int], int],
    found: Mapping[int, Finding],
) -> Finding:
    context = inputs.context
    command = context.command(difference)
    facts = _cell_facts(difference, EntityEvidence(), context, None)
    view = context.on_demand(difference.view_name)
    for name, feature in () if view is None else view.inputs:
        position = cells.get((name, feature, difference.row_idx))
        if position is not None:
            finding: Finding | None = found[position]
        else:
            finding = inputs.find(difference, name, feature)
        if finding is not None:
            # The input's rows and facts, beside the output's own two values.
            own = (difference.offline.value, difference.online.value)
            evidence = replace(finding.evidence, offline_value=own[0], online_value=own[1])
            because = f"its input {name}:{feature} differs: {finding.because}"
            return Finding(finding.cause, because, evidence, command)
    return find_cause(facts, command)


class _Inputs:
    """Evidence for the inputs of some computed cells."""

    def __init__(self, context: CauseContext) -> None:
        self.context = context
        self._evidence: dict[tuple[str, AskedEntity], EntityEvidence] = {}

    def read_all(self, differences: Sequence[Difference]) -> None:
        """Read the entities that the cells' inputs are of, each view once."""
        asked: dict[str, dict[AskedEntity, None]] = {}
        for difference in differences:
            view = self.context.on_demand(difference.view_name)
            for name, _ in () if view is None else view.inputs:
                read = self.context.view_read(name)
                if read is not None:
                    entity = _input_entity(difference, read, self.context)
                    asked.setdefault(name, {})[entity] = None
        for name, entities in asked.items():
            read = self.context.view_read(name)
            if read is not None:
                found = self.context.reader.read(read, list(entities))
                for entity, evidence in zip(entities, found, strict=True):
                    self._evidence[name, entity] = evidence

    def find(self, difference: Difference, name: str, feature: str) -> Finding | None:
        """Find out whether an input that was not compared differs, and why; None if it agrees."""
        read = self.context.view_read(name)
        if read is None or _is_compared(self.context.request, name, feature):
            return None
        entity = _input_entity(difference, read, self.context)
        evidence = self._evidence[name, entity]
        declared = read.view.feature(feature)
        if declared is None:
            return None
        asked = replace(
            difference,
            view_name=name,
            feature=feature,
            dtype=declared.dtype,
            online=_online_cell(read, feature, evidence, difference.as_of_us),
        )
        facts = _cell_facts(asked, evidence, self.context, read, until_us=entity.until_us)
        offline = _offline_cell(read, facts)
        if compare_cells(offline, asked.online).is_agreement:
            return None
        return find_cause(replace(facts, offline=offline))


def _cell_facts(
    difference: Difference,
    evidence: EntityEvidence,
    context: CauseContext,
    read: ViewRead | None,
    *,
    until_us: int | None = None,
) -> CellFacts:
    return CellFacts(
        feature=difference.feature,
        dtype=difference.dtype,
        as_of_us=difference.as_of_us,
        offline=difference.offline,
        online=difference.online,
        history=evidence.history,
        stored=evidence.stored,
        problem=evidence.problem,
        loads=evidence.loads,
        ttl_us=None if read is None else read.view.enforced_ttl_us,
        knowledge=context.knowledge,
        until_us=until_us,
        n_source_rows=evidence.n_source_rows,
        is_on_demand=read is None,
        is_pushable=evidence.is_pushable,
        key_exists=evidence.key_exists,
        twin_key=evidence.twin_key,
        pinned_version=evidence.pinned_version,
        stored_version=evidence.stored_version,
        is_read_by_sdk=context.is_read_by_sdk,
    )


def _entity(difference: Difference, read: ViewRead, context: CauseContext) -> AskedEntity:
    entity = _input_entity(difference, read, context)
    return replace(entity, online_event_us=difference.online.event_us)


def _input_entity(difference: Difference, read: ViewRead, context: CauseContext) -> AskedEntity:
    # The answer of an on-demand view says nothing of its inputs' rows.
    key = tuple(difference.entity_key[column] for column in read.key_columns)
    seen_until = {} if context.seen_until is None else context.seen_until(difference)
    return AskedEntity(key, difference.as_of_us, until_us=seen_until.get(read.output_name))


def _is_compared(request: FeatureRequest, name: str, feature: str) -> bool:
    return any(
        column.view_name == name and column.field.name == feature for column in request.columns
    )


def _offline_cell(read: ViewRead, facts: CellFacts) -> Cell:
    winner = facts.winner
    if winner is None:
        return Cell(None, Status.NOT_FOUND, None)
    value = winner.values.get(facts.feature)
    return _cell(read, value, event_us=winner.order.event_us, as_of_us=facts.as_of_us)


def _online_cell(read: ViewRead, feature: str, evidence: EntityEvidence, as_of_us: int) -> Cell:
    stored = evidence.stored
    if evidence.problem is not None:
        return Cell(None, None, None)
    if stored is None or stored.is_tombstone:
        return Cell(None, Status.NOT_FOUND, None)
    event_us = stored.order.event_us
    if feature not in stored.values:
        return Cell(None, Status.NOT_FOUND, event_us)
    return _cell(read, stored.values[feature], event_us=event_us, as_of_us=as_of_us)


def _cell(read: ViewRead, value: PlainValue | None, *, event_us: int, as_of_us: int) -> Cell:
    """Answer as both stores do for a row that they have."""
    age_us, limit_us = as_of_us - event_us, read.value_age_limit_us
    shown = None if limit_us is not None and age_us > limit_us else value
    ttl_us = read.view.enforced_ttl_us
    is_expired = not is_within_ttl(event_us=event_us, as_of_us=as_of_us, ttl_us=ttl_us)
    status = decide_status(is_found=True, is_expired=is_expired, is_null=shown is None)
    return Cell(shown, status, event_us)
