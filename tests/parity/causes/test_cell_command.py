"""`evenstore-parity cell`: arguments, output, exit codes."""

from __future__ import annotations

import argparse
import json
import shlex

import pytest

from evenstore.errors import EvenstoreError, ParityError, UnknownFeatureError
from parity.causes import cell
from parity.cli import main
from tests.parity.causes.planting import NOW_US, PlantedShop
from tests.parity.shop import FIRST_CUSTOMER, SERVICE, add_late_row

# One process sets the shop up for both modules.
pytestmark = pytest.mark.xdist_group("parity-causes")

CUSTOMER = FIRST_CUSTOMER + 10
HOUR_US = 3_600_000_000
OTHER_VIEW = "--view customer_activity --key customer_id=1 --as-of 2011-12-10T00:00Z"
OTHER_FEATURE = (
    "--view customer_activity --key customer_id=1 --feature nope"
    f" --feature-service {SERVICE} --as-of 2011-12-10T00:00Z"
)


def run(text: str) -> int:
    parser = argparse.ArgumentParser(prog="evenstore-parity cell", exit_on_error=False)
    cell.add_arguments(parser)
    return cell.run(parser.parse_args(shlex.split(text)))


def asked(shop: PlantedShop, more: str = "") -> str:
    return (
        f"--repo {shop.repo} --view customer_activity --key customer_id={CUSTOMER}"
        f" --as-of 2011-12-10T00:00:00Z {more}"
    )


def test_equal_cell(shop: PlantedShop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(asked(shop)) == 0
    out = capsys.readouterr().out
    assert out.startswith("customer_activity customer_id=12356 as of 2011-12-10T00:00:00Z\n")
    assert out.endswith("cell: 6 features compared, 0 differ\n")
    assert "spend (Float64): match" in out


def test_command_of_a_finding_reproduces_it(
    shop: PlantedShop, capsys: pytest.CaptureFixture[str]
) -> None:
    add_late_row(shop.folder, CUSTOMER)
    assert run(asked(shop, "--feature spend --json")) == 3
    first = json.loads(capsys.readouterr().out)
    (feature,) = first["features"]
    finding = feature["finding"]
    assert finding["cause"] == "late-arrival"
    assert feature["outcome"] == "stale"
    assert finding["evidence"]["offline_order"]["event_us"] == NOW_US - 60_000_000
    assert finding["evidence"]["online_order"]["event_us"] == NOW_US - HOUR_US
    assert finding["evidence"]["source_file"] == str(shop.folder / "activity.parquet")
    assert finding["evidence"]["facts"]["was_read"] is False
    program, command, arguments = finding["command"].split(" ", 2)
    assert (program, command) == ("evenstore-parity", "cell")
    assert run(f"{arguments} --json") == 3
    assert json.loads(capsys.readouterr().out) == first
    assert run(arguments) == 3
    out = capsys.readouterr().out
    assert "cause    late-arrival: the row of 2011-12-09T23:59:00Z came after the last run" in out
    assert f"{shop.folder}/activity.parquet (not read by the last run)" in out


def test_rows_after_an_instant_are_left_out(
    shop: PlantedShop, capsys: pytest.CaptureFixture[str]
) -> None:
    add_late_row(shop.folder, CUSTOMER)
    until = "--until customer_activity=2011-12-09T23:58:59.999999Z"
    assert run(asked(shop, until)) == 0
    assert "rows of customer_activity up to 2011-12-09T23:58:59.999999Z" in capsys.readouterr().out
    # What is shown as its command asks for the same rows.
    shop.plant(CUSTOMER, {"spend": 99.5})
    assert run(asked(shop, f"--feature spend --json {until}")) == 3
    first = json.loads(capsys.readouterr().out)
    assert first["features"][0]["outcome"] == "mismatch"
    command = first["features"][0]["finding"]["command"]
    assert run(f"{command.split(' ', 2)[2]} --json") == 3
    assert json.loads(capsys.readouterr().out) == first


def test_program_has_the_command(shop: PlantedShop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.plant(CUSTOMER, {"spend": 99.5})
    assert main(["cell", *shlex.split(asked(shop, "--json"))]) == 3
    document = json.loads(capsys.readouterr().out)
    causes = {
        feature["feature"]: feature["finding"] and feature["finding"]["cause"]
        for feature in document["features"]
    }
    assert causes.pop("spend") == "unknown"
    assert set(causes.values()) == {None}


def test_rows_are_shown_whatever_is_stored(
    shop: PlantedShop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.remove_key(CUSTOMER)
    assert run(asked(shop)) == 3
    out = capsys.readouterr().out
    assert "  online   no row\n" in out
    assert "cause    key-expired: the entity was loaded" in out


def test_on_demand_view_of_a_service(shop: PlantedShop, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        f"--repo {shop.repo} --feature-service {SERVICE} --view compare_basket"
        f" --key customer_id={CUSTOMER} --key amount=10.5 --as-of 2011-12-10T00:00:00Z"
    )
    assert run(text) == 0
    assert "above_usual (Float64): match\n  offline  10.4 PRESENT" in capsys.readouterr().out


def test_text_key_is_taken_as_it_is(shop: PlantedShop, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"--repo {shop.repo} --view product_demand --key product={{}} --as-of 2011-12-10T00:00Z"
    assert run(text.format("P7")) == 0
    assert "sold (Int64): match\n  offline  7 PRESENT" in capsys.readouterr().out
    assert run(text.format("P7=")) == 0
    assert "null NOT_FOUND" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("--view customer_activity --as-of 2011-12-10T00:00:00Z", ParityError),
        ("--view customer_activity --key customer_id=x --as-of 2011-12-10T00:00Z", ParityError),
        (OTHER_FEATURE, ParityError),
        ("--view nope --key customer_id=1 --as-of 2011-12-10T00:00:00Z", UnknownFeatureError),
        (f"{OTHER_VIEW} --until product_demand=2011-12-10T00:00:00Z", ParityError),
        (
            "--view product_demand --key product=a --key product=b --as-of 2011-12-10T00:00Z",
            EvenstoreError,
        ),
    ],
)
def test_what_cannot_be_compared_is_told(
    shop: PlantedShop, text: str, error: type[EvenstoreError]
) -> None:
    with pytest.raises(error) as raised:
        run(f"--repo {shop.repo} {text}")
    assert raised.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "--repo r --view v --key customer_id --as-of 2011-12-10T00:00:00Z",
        "--repo r --view v --key =1 --as-of 2011-12-10T00:00:00Z",
        "--repo r --view v --as-of 2011-12-10T00:00:00",
        "--repo r --view v --as-of yesterday",
        "--repo r --view v --as-of 2011-12-10T00:00:00Z --until 2011-12-10T00:00:00Z",
        "--repo r --view v --as-of 2011-12-10T00:00:00Z --until v=2011-12-10T00:00:00",
    ],
)
def test_wrong_arguments_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentError):
        run(text)
