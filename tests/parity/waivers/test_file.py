from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from evenstore.errors import ConfigurationError
from parity.causes.finding import Cause
from parity.waivers.file import read_waivers
from parity.waivers.waiver import Tolerance, Waiver

GOOD = """\
[[waiver]]
feature = "activity:spend"
relative = 1e-9
causes = ["late-arrival"]
reason = "the importer rounds"
owner = "data@example.org"
expires = 2027-03-31
"""
GOOD_YAML = """\
waiver:
  - feature: activity:spend
    relative: 1.0e-9
    causes: [late-arrival]
    reason: the importer rounds
    owner: data@example.org
    expires: 2027-03-31
"""
WAIVER = Waiver(
    view_name="activity",
    feature="spend",
    tolerance=Tolerance(relative=1e-9),
    causes=frozenset({Cause.LATE_ARRIVAL}),
    reason="the importer rounds",
    owner="data@example.org",
    expires=dt.date(2027, 3, 31),
)


def read(tmp_path: Path, text: str, name: str = "waivers.toml") -> tuple[Waiver, ...]:
    path = tmp_path / name
    path.write_text(text)
    return read_waivers(path)


def test_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == (WAIVER,)
    assert read(tmp_path, GOOD_YAML, "waivers.yaml") == (WAIVER,)


@pytest.mark.parametrize("name", ["waivers.toml", "waivers.yml"])
def test_empty_file_waives_nothing(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, "", name) == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('owner = "data@example.org"\n', "", "`owner` is missing"),
        ('reason = "the importer rounds"', 'reason = " "', "`reason` is empty"),
        ("expires = 2027-03-31", 'expires = "soon"', "`expires` is no date"),
        ("expires = 2027-03-31", "expires = 2027-03-31T00:00:00Z", "`expires` is no date"),
        ("activity:spend", "activity:*", "names no feature"),
        ("activity:spend", "spend", "names no feature"),
        ("relative = 1e-9", "relative = -1.0", "`relative` is -1.0"),
        ("relative = 1e-9", "relative = nan", "`relative` is nan"),
        ("relative = 1e-9", "relative = true", "`relative` is True"),
        ("relative = 1e-9", "ulp = 1.5", "`ulp` is 1.5"),
        ("relative = 1e-9", "realtive = 1e-9", "unknown key `realtive`"),
        ("late-arrival", "late", "no cause is named 'late'"),
        ('relative = 1e-9\ncauses = ["late-arrival"]\n', "", "waives nothing"),
        ("[[waiver]]", "[waiver]", "is no list of waivers"),
        ("[[waiver]]", "[[waivers]]", "is no list of waivers"),
        ("= 1e-9", "1e-9", "is neither TOML nor YAML"),
    ],
)
def test_mistake_is_refused_and_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, GOOD.replace(old, new))
    assert problem in str(refused.value)
    assert "waivers.toml" in str(refused.value)


def test_two_waivers_of_one_feature_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has two waivers"):
        read(tmp_path, GOOD + GOOD)


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the waivers"):
        read_waivers(tmp_path / "none.toml")
