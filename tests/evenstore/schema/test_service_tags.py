from __future__ import annotations

import json

import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError
from evenstore.schema.model import FeatureDefault
from evenstore.schema.service_tags import ServiceTags, read_service_tags
from evenstore.semantics import OnUnavailable

_DTYPES = {
    ("stats", "trips"): Dtype.INT64,
    ("stats", "rate"): Dtype.FLOAT32,
    ("city", "name"): Dtype.STRING,
    ("city", "since"): Dtype.UNIX_TIMESTAMP,
    ("city", "tags"): Dtype.STRING_LIST,
    ("city", "notes"): Dtype("Map"),
}
_HOUR_US = 3_600_000_000


def read(**tags: str) -> ServiceTags:
    return read_service_tags(
        "svc", {f"evenstore.{name}": text for name, text in tags.items()}, _DTYPES
    )


def default_of(reference: str, text: str) -> str:
    (default,) = read(**{f"default.{reference}": text}).defaults
    assert f"{default.view}:{default.feature}" == reference
    return default.json_text


def test_a_service_without_tags_degrades_nothing() -> None:
    assert read() == ServiceTags((), OnUnavailable.CLOSED, 0)
    assert read_service_tags("svc", {"team": "risk"}, _DTYPES) == read()


@pytest.mark.parametrize(
    ("reference", "text", "json_text"),
    [
        ("stats:trips", "0", "0"),
        ("stats:trips", str(2**63 - 1), str(2**63 - 1)),
        ("stats:rate", "1", "1.0"),
        ("stats:rate", "0.1", "0.10000000149011612"),
        ("stats:rate", "Infinity", '"Infinity"'),
        ("city:name", "GB", '"GB"'),
        ("city:name", '"GB"', '"GB"'),
        ("city:name", "5", '"5"'),
        ("city:name", "", '""'),
        ("city:since", "2011-12-09T00:00:00Z", '"2011-12-09T00:00:00Z"'),
        ("city:since", "-1", '"1969-12-31T23:59:59Z"'),
        ("city:tags", "[]", "[]"),
    ],
)
def test_a_default_has_its_features_type(reference: str, text: str, json_text: str) -> None:
    assert default_of(reference, text) == json_text


def test_defaults_may_stand_in_one_tag_and_come_in_the_services_order() -> None:
    listed = json.dumps({"city:name": "GB", "stats:trips": 0})
    tags = read(defaults=listed, **{"default.stats:rate": "0.5"})
    assert tags.defaults == (
        FeatureDefault("stats", "trips", "0"),
        FeatureDefault("stats", "rate", "0.5"),
        FeatureDefault("city", "name", '"GB"'),
    )


@pytest.mark.parametrize(
    ("text", "duration_us"),
    [
        ("90s", 90_000_000),
        ("2h", 2 * _HOUR_US),
        ("1d12h", 36 * _HOUR_US),
        ("15m", _HOUR_US // 4),
        ("0s", 0),
    ],
)
def test_durations(text: str, duration_us: int) -> None:
    assert read(max_stale=text).max_stale_us == duration_us


def test_fail_open() -> None:
    assert read(on_unavailable="open").on_unavailable is OnUnavailable.OPEN


@pytest.mark.parametrize(
    ("tag", "text", "hint"),
    [
        ("default.stats:trip", "0", "did you mean `stats:trips`?"),
        ("default.trips", "0", "stats:trips"),
        ("default.stats:trips", "1.5", "JSON of the declared type"),
        ("default.stats:trips", '"1"', "JSON of the declared type"),
        ("default.stats:trips", str(2**63), "JSON of the declared type"),
        ("default.stats:trips", "null", "leave the tag out"),
        ("default.stats:rate", "NaN", "declare a number"),
        ("default.city:since", "yesterday", "JSON of the declared type"),
        ("default.city:tags", '["a", null]', "JSON of the declared type"),
        ("default.city:notes", "{}", "declare none"),
        ("defaults", "[]", '{"view:feature": value}'),
        ("defaults", "{", '{"view:feature": value}'),
        ("defaults", '{"city:nam": "x"}', "did you mean `city:name`?"),
        ("on_unavailable", "ajar", "closed or open"),
        ("max_stale", "2 hours", "90s, 15m"),
        ("max_stale", "-2h", "90s, 15m"),
        ("max_stale", "", "90s, 15m"),
        ("max_stail", "2h", "did you mean `evenstore.max_stale`?"),
        ("x", "", "known: "),
    ],
)
def test_a_wrong_tag_is_named(tag: str, text: str, hint: str) -> None:
    with pytest.raises(SchemaError) as raised:
        read(**{tag: text})
    assert f"feature service `svc`: tag `evenstore.{tag}`" in raised.value.message
    assert hint in (raised.value.hint or "")


def test_a_default_is_declared_once() -> None:
    with pytest.raises(SchemaError, match="another tag declares too"):
        read(defaults='{"stats:trips": 1}', **{"default.stats:trips": "1"})
