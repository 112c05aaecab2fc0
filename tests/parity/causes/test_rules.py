"""Each cause from the facts that make it, and the order in which causes are asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from evenstore.dtypes import Dtype
from evenstore.semantics import Knowledge, Origin, Status
from parity.causes.cell_facts import CellFacts, Relation
from parity.causes.finding import Cause
from parity.causes.rows import LoadState
from parity.causes.rules import RULES, decide_cause, find_cause
from parity.causes.value_signs import precision_sign
from tests.parity.causes.cases import (
    AS_OF_US,
    HOUR_US,
    LOADED,
    cell,
    facts,
    source,
    stored,
)

ABSENT: dict[str, Any] = {
    "online": cell(None, None, Status.NOT_FOUND),
    "stored": None,
    "key_exists": False,
}
STOCK = replace(LOADED, keeps_order=False)
UNSEEN = (source(was_read=False),)

CASES: list[tuple[str, Cause, CellFacts]] = [
    ("pinned", Cause.VERSION_PIN, facts(pinned_version="v1")),
    ("row of another version", Cause.VERSION_PIN, facts(**ABSENT, stored_version="v1")),
    ("computed", Cause.ON_DEMAND_DIVERGENCE, facts(is_on_demand=True, stored=None, history=())),
    ("twin key", Cause.KEY_ENCODING, facts(**ABSENT, twin_key="customer_id as String")),
    (
        "twin in the source",
        Cause.KEY_ENCODING,
        facts(
            offline=cell(None, None, Status.NOT_FOUND),
            history=(),
            n_source_rows=0,
            twin_key="in the source as 'e'",
        ),
    ),
    (
        "retyped",
        Cause.SCHEMA_DRIFT,
        facts(
            online=cell(None, 0, Status.NOT_FOUND),
            stored=stored(values={"orders": 7}, retyped={"spend": "Int64"}),
        ),
    ),
    (
        "retyped neighbour",
        Cause.SCHEMA_DRIFT,
        facts(
            online=cell(None, None, None),
            stored=stored(retyped={"orders": "String"}),
            problem="orders: stored bytes are not Int64",
        ),
    ),
    (
        "swapped",
        Cause.SCHEMA_DRIFT,
        facts(
            history=(source(1.5, basket=4.5),),
            online=cell(4.5),
            stored=stored(values={"spend": 4.5, "basket": 1.5, "orders": 7}),
        ),
    ),
    (
        "new feature",
        Cause.NEW_FEATURE_NOT_BACKFILLED,
        facts(online=cell(None, 0, Status.NOT_FOUND), stored=stored(values={"orders": 7})),
    ),
    (
        "new feature in an older row",
        Cause.NEW_FEATURE_NOT_BACKFILLED,
        facts(
            online=cell(None, -1, Status.NOT_FOUND), stored=stored(hours=-1, values={"orders": 7})
        ),
    ),
    (
        "ttl not enforced online",
        Cause.TTL_BOUNDARY,
        facts(
            ttl_us=2 * HOUR_US - 1,
            offline=cell(None, 0, Status.OUTSIDE_MAX_AGE),
            online=cell(1.5),
            stored=stored(),
        ),
    ),
    (
        "ttl not enforced online, older row",
        Cause.TTL_BOUNDARY,
        facts(
            ttl_us=HOUR_US,
            offline=cell(None, 0, Status.OUTSIDE_MAX_AGE),
            online=cell(1.5, -1),
            stored=stored(hours=-1),
        ),
    ),
    (
        "ttl not enforced online, offline without statuses",
        Cause.TTL_BOUNDARY,
        facts(ttl_us=HOUR_US, offline=cell(None, None, None), online=cell(1.5), stored=stored()),
    ),
    (
        "ttl one microsecond short online",
        Cause.TTL_BOUNDARY,
        facts(ttl_us=2 * HOUR_US, online=cell(None, 0, Status.OUTSIDE_MAX_AGE), stored=stored()),
    ),
    (
        "event moved by a zone",
        Cause.TIMEZONE,
        facts(online=cell(1.5, -1), stored=stored(hours=-1)),
    ),
    (
        "event moved into the future",
        Cause.TIMEZONE,
        facts(online=cell(None, None, None), stored=stored(hours=5.5, created=None)),
    ),
    (
        "instant moved by a zone",
        Cause.TIMEZONE,
        facts(
            dtype=Dtype.UNIX_TIMESTAMP,
            offline=cell(1_000_000),
            online=cell(1_000_000 + 9000),
            history=(source(1_000_000),),
        ),
    ),
    (
        "list of instants moved by a zone",
        Cause.TIMEZONE,
        facts(
            dtype=Dtype.UNIX_TIMESTAMP_LIST,
            offline=cell((10, 20)),
            online=cell((10 - 3600, 20 - 3600)),
            history=(source((10, 20)),),
        ),
    ),
    ("tie", Cause.AMBIGUOUS_TIE, facts(history=(source(), source(99.0)), n_source_rows=2)),
    (
        "tie of NaN and null",
        Cause.AMBIGUOUS_TIE,
        facts(offline=cell(math.nan), online=cell(None), history=(source(math.nan), source(None))),
    ),
    ("NaN for null", Cause.NAN_OR_NULL, facts(offline=cell(None), online=cell(math.nan))),
    ("null for NaN", Cause.NAN_OR_NULL, facts(offline=cell(math.nan), online=cell(None))),
    (
        "zero for null in a list",
        Cause.NAN_OR_NULL,
        facts(offline=cell((1, None)), online=cell((1, 0)), dtype=Dtype.INT64_LIST),
    ),
    ("null for infinity", Cause.NAN_OR_NULL, facts(offline=cell(math.inf), online=cell(None))),
    ("zero for null", Cause.NAN_OR_NULL, facts(offline=cell(None), online=cell(0))),
    ("null for an empty list", Cause.NAN_OR_NULL, facts(offline=cell(()), online=cell(None))),
    (
        "no instant for null",
        Cause.NAN_OR_NULL,
        facts(offline=cell(None), online=cell(-9223372037), dtype=Dtype.UNIX_TIMESTAMP),
    ),
    (
        "pushed integer through float",
        Cause.SDK_CONVERSION,
        facts(
            dtype=Dtype.INT64,
            offline=cell(2**53 + 1),
            online=cell(2**53),
            stored=stored(2**53, origin=Origin.PUSH),
        ),
    ),
    (
        "converted on reading",
        Cause.SDK_CONVERSION,
        facts(is_read_by_sdk=True, stored=stored(1.5)),
    ),
    ("float32", Cause.DTYPE_PRECISION, facts(offline=cell(0.1), online=cell(0.10000000149011612))),
    ("last digit", Cause.DTYPE_PRECISION, facts(online=cell(math.nextafter(1.5, 2)))),
    ("fraction cut off", Cause.DTYPE_PRECISION, facts(online=cell(1.0))),
    (
        "integer through float",
        Cause.DTYPE_PRECISION,
        facts(dtype=Dtype.INT64, offline=cell(2**53 + 1), online=cell(2**53)),
    ),
    (
        "integer through float offline",
        Cause.DTYPE_PRECISION,
        facts(dtype=Dtype.INT64, offline=cell(2**53), online=cell(2**53 + 1)),
    ),
    (
        "integer cut to 32 bits",
        Cause.DTYPE_PRECISION,
        facts(dtype=Dtype.INT64, offline=cell(2**31 + 5), online=cell(5 - 2**31)),
    ),
    (
        "second rounded up",
        Cause.DTYPE_PRECISION,
        facts(dtype=Dtype.UNIX_TIMESTAMP, offline=cell(1_300_000_000), online=cell(1_300_000_001)),
    ),
    (
        "milliseconds for seconds",
        Cause.DTYPE_PRECISION,
        facts(
            dtype=Dtype.UNIX_TIMESTAMP, offline=cell(1_300_000_000), online=cell(1_300_000_000_123)
        ),
    ),
    (
        "event timestamp without its fraction",
        Cause.DTYPE_PRECISION,
        facts(online=cell(1.5, -1e-7), stored=stored(hours=-1e-7)),
    ),
    (
        "text in another form",
        Cause.DTYPE_PRECISION,
        facts(offline=cell("\u00e9"), online=cell("e\u0301")),
    ),
    (
        "text encoded twice",
        Cause.DTYPE_PRECISION,
        facts(offline=cell("\u00e9"), online=cell("\u00c3\u00a9")),
    ),
    ("number as text", Cause.DTYPE_PRECISION, facts(online=cell("1.5"))),
    (
        "list narrowed",
        Cause.DTYPE_PRECISION,
        facts(offline=cell((0.1, 2.0)), online=cell((0.10000000149011612, 2.0))),
    ),
    (
        "pushed and newer",
        Cause.PUSHED_ONLINE_ONLY,
        facts(online=cell(99.0, 1), stored=stored(99.0, 1, origin=Origin.PUSH)),
    ),
    (
        "pushed without a source row",
        Cause.PUSHED_ONLINE_ONLY,
        facts(
            offline=cell(None, None, Status.NOT_FOUND),
            history=(),
            n_source_rows=0,
            stored=stored(99.0, origin=Origin.PUSH),
        ),
    ),
    (
        "pushed at the same instant",
        Cause.PUSHED_ONLINE_ONLY,
        facts(stored=stored(99.0, origin=Origin.PUSH)),
    ),
    (
        "later than any run of a store that keeps no origin",
        Cause.PUSHED_ONLINE_ONLY,
        facts(online=cell(99.0, 1.5), stored=stored(99.0, 1.5, created=None), loads=STOCK),
    ),
    (
        "run's row without a source row",
        Cause.DELETED_ROW,
        facts(
            offline=cell(None, None, Status.NOT_FOUND),
            history=(),
            n_source_rows=0,
            stored=stored(99.0, origin=Origin.RUN),
        ),
    ),
    (
        "newer row removed from the source",
        Cause.DELETED_ROW,
        facts(online=cell(99.0, 0.9), stored=stored(99.0, 0.9, origin=Origin.RUN)),
    ),
    (
        "row of a covered instant in a store that keeps no origin",
        Cause.DELETED_ROW,
        facts(online=cell(99.0, 0.9), stored=stored(99.0, 0.9, created=None), loads=STOCK),
    ),
    (
        "tombstone",
        Cause.DELETED_ROW,
        facts(
            online=cell(None, None, Status.NOT_FOUND),
            stored=stored(is_tombstone=True, values={}, origin=Origin.PUSH),
        ),
    ),
    ("late, no row", Cause.LATE_ARRIVAL, facts(**ABSENT, history=UNSEEN)),
    (
        "late, older row",
        Cause.LATE_ARRIVAL,
        facts(
            online=cell(0.5, -3),
            stored=stored(0.5, -3, created=-3),
            history=(*UNSEEN, source(0.5, -3, created=-3)),
        ),
    ),
    (
        "late by its created timestamp",
        Cause.LATE_ARRIVAL,
        facts(**ABSENT, history=(source(created=2, was_read=None),)),
    ),
    (
        "nothing tells when it came",
        Cause.LATE_ARRIVAL,
        facts(**ABSENT, history=(source(created=None, was_read=None),), loads=STOCK),
    ),
    ("late correction", Cause.LATE_ARRIVAL, facts(history=(source(was_read=False, created=1),))),
    (
        "file without created timestamps written anew",
        Cause.LATE_ARRIVAL,
        facts(stored=stored(99.0, created=None), history=(source(created=None, was_read=False),)),
    ),
    ("evicted", Cause.KEY_EXPIRED, facts(**ABSENT)),
    (
        "expired",
        Cause.KEY_EXPIRED,
        facts(
            **ABSENT,
            history=(source(created=None, was_read=None),),
            loads=replace(STOCK, physical_ttl_us=HOUR_US),
        ),
    ),
    ("never loaded", Cause.NOT_MATERIALIZED, facts(**ABSENT, loads=LoadState())),
    (
        "after the watermark, no row",
        Cause.NOT_MATERIALIZED,
        facts(**ABSENT, history=(source(hours=1.5),), offline=cell(1.5, 1.5)),
    ),
    (
        "after the watermark, older row",
        Cause.NOT_MATERIALIZED,
        facts(
            offline=cell(1.5, 1.5),
            online=cell(0.5),
            stored=stored(0.5),
            history=(source(hours=1.5), source(0.5)),
        ),
    ),
    (
        "before the first interval",
        Cause.NOT_MATERIALIZED,
        facts(**ABSENT, loads=replace(STOCK, intervals=((AS_OF_US - HOUR_US, AS_OF_US),))),
    ),
    ("write lost", Cause.NOT_MATERIALIZED, facts(**(ABSENT | {"key_exists": True}))),
    (
        "correction refused",
        Cause.DROPPED_CORRECTION,
        facts(history=(source(created=0.2), source(99.0))),
    ),
    (
        "correction refused by a store that compares event timestamps",
        Cause.DROPPED_CORRECTION,
        facts(
            stored=stored(99.0, created=None),
            history=(source(created=9, was_read=None), source(99.0, was_read=None)),
            loads=STOCK,
        ),
    ),
    (
        "row written anew under a store that compares event timestamps",
        Cause.DROPPED_CORRECTION,
        facts(
            stored=stored(99.0, created=None),
            history=(source(created=None, was_read=None, arrived_us=AS_OF_US),),
            loads=STOCK,
        ),
    ),
    (
        "older row over a newer one",
        Cause.WRITE_ORDER,
        facts(
            online=cell(0.5, -3),
            stored=stored(0.5, -3, created=-3),
            history=(source(), source(0.5, -3, created=-3)),
        ),
    ),
    (
        "old value under a new timestamp",
        Cause.WRITE_ORDER,
        facts(history=(source(), source(99.0, -3, created=-3))),
    ),
    (
        "row of the future",
        Cause.WRITE_ORDER,
        facts(
            online=cell(None, None, None),
            stored=stored(99.0, 3, created=3),
            history=(source(99.0, 3, created=3), source()),
        ),
    ),
    (
        "row that was not known yet",
        Cause.WRITE_ORDER,
        facts(
            knowledge=Knowledge.AS_KNOWN,
            online=cell(99.0, 1),
            stored=stored(99.0, 1, created=5),
            history=(source(99.0, 1, created=5), source()),
        ),
    ),
    ("value that nothing has", Cause.UNKNOWN, facts()),
    ("value that nothing has, file written anew", Cause.UNKNOWN, facts(history=UNSEEN)),
    ("bytes of no type", Cause.UNKNOWN, facts(stored=None, problem="no row")),
    ("neither side has a row", Cause.UNKNOWN, facts(**ABSENT, history=())),
]


@pytest.mark.parametrize(
    ("cause", "known"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_cause_is_found(cause: Cause, known: CellFacts) -> None:
    found, because = decide_cause(known)
    assert (found, because) == (cause, because)
    assert because
    assert "\n" not in because


def test_every_cause_has_a_case() -> None:
    assert {cause for _, cause, _ in CASES} == set(Cause)


def test_rules_are_asked_in_the_order_of_the_causes() -> None:
    assert [cause for cause, _ in RULES] == [*Cause][:-1]


@pytest.mark.parametrize("known", [case[2] for case in CASES], ids=[c[0] for c in CASES])
def test_evidence_has_no_empty_fact(known: CellFacts) -> None:
    finding = find_cause(known, "evenstore-parity cell")
    assert None not in finding.evidence.facts.values()
    assert finding.command == "evenstore-parity cell"
    assert finding.evidence.offline_value is known.offline.value


def test_evidence_has_both_orders_and_the_file() -> None:
    known = facts(online=cell(0.5, -3), stored=stored(0.5, -3, created=None))
    evidence = find_cause(known).evidence
    assert (evidence.offline_value, evidence.online_value) == (1.5, 0.5)
    assert evidence.offline_order == source().order
    assert evidence.online_order == stored(hours=-3, created=None).order
    assert evidence.source_file == "/data/activity.parquet"
    assert evidence.facts["watermark_us"] == AS_OF_US - HOUR_US


def test_row_that_landed_since_the_answer_is_not_taken_for_it() -> None:
    known = facts(**(ABSENT | {"stored": stored(), "history": UNSEEN}))
    assert known.relation is Relation.ABSENT
    cause, _ = decide_cause(known)
    assert cause is Cause.LATE_ARRIVAL
    assert known.evidence().facts["landed_since"] is True


def test_answer_of_another_row_than_is_stored_by_now_is_judged_as_it_was() -> None:
    # The newer row has landed between the answer and the look into the store.
    known = facts(
        online=cell(0.5, -3), stored=stored(), history=(source(was_read=False), source(0.5, -3))
    )
    assert known.relation is Relation.OLDER
    assert decide_cause(known)[0] is Cause.LATE_ARRIVAL


def test_shift_of_hours_between_rows_of_equal_content_is_no_zone() -> None:
    # The source has the row that is stored: nothing was moved.
    known = facts(
        online=cell(1.5, -1), stored=stored(hours=-1), history=(source(), source(hours=-1))
    )
    assert decide_cause(known)[0] is Cause.WRITE_ORDER


def test_instant_beyond_the_calendar_is_told() -> None:
    known = facts(online=cell(99.0, 1e9), stored=stored(99.0, 1e9, origin=Origin.PUSH))
    cause, because = decide_cause(known)
    assert cause is Cause.PUSHED_ONLINE_ONLY
    assert " us " in because


@pytest.mark.parametrize("odd", [float("inf"), float("nan"), 10**400])
@pytest.mark.parametrize("other", [True, 1, 1.5, 10**400 + 1])
def test_number_that_is_no_float_has_no_sign_of_another_type(odd: float, other: float) -> None:
    for pair in ((odd, other), (other, odd), ((odd,), (other,))):
        assert precision_sign(*pair) is None
