from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.shop import text_table
from demo.shop.reader import read_shop_data
from demo.shop.schema import SHOP_SCHEMA
from evenstore.errors import TransformError
from tests.support.scale import scaled

_NAMES = SHOP_SCHEMA.names
_HEADER = ",".join(_NAMES)
_LINE = '536365,85123A,"MUG, RED",6,12/1/2010 8:26,2.55,17850,United Kingdom'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.csv"


def _fields(**changed: str) -> str:
    """Make a line of which some fields are changed."""
    fields = dict(zip(_NAMES, next(csv.reader([_LINE])), strict=True)) | changed
    text = io.StringIO()
    csv.writer(text).writerow(fields.values())
    return text.getvalue().removesuffix("\r\n")


def _write(path: Path, *lines: str, header: str = _HEADER) -> Path:
    path.write_text("".join(f"{line}\n" for line in (header, *lines)), encoding="utf-8", newline="")
    return path


def _refusal(path: Path) -> TransformError:
    with pytest.raises(TransformError) as raised:
        read_shop_data(path)
    assert f"`{path}`" in raised.value.message
    assert raised.value.hint
    return raised.value


def _message(path: Path) -> str:
    return _refusal(path).message.removeprefix(f"`{path}` ")


# -- what is read -----------------------------------------------------------------------------


def test_a_line_of_the_widespread_form(path: Path) -> None:
    table = read_shop_data(_write(path, _LINE))
    assert table.schema == SHOP_SCHEMA
    assert table.to_pylist() == [
        {
            "InvoiceNo": "536365",
            "StockCode": "85123A",
            "Description": "MUG, RED",
            "Quantity": 6,
            "InvoiceDate": datetime.fromisoformat("2010-12-01T08:26"),
            "UnitPrice": 2.55,
            "CustomerID": 17850,
            "Country": "United Kingdom",
        }
    ]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("InvoiceNo", "C536379", "C536379"),
        ("InvoiceNo", "00536365", "00536365"),
        ("InvoiceNo", " 536365 ", " 536365 "),
        ("StockCode", " 85123a ", " 85123a "),
        ("StockCode", "BANK\tCHARGES", "BANK\tCHARGES"),
        ("StockCode", "c2", "c2"),
        ("Description", "", None),
        ("Description", " MUG ", " MUG "),
        ("Description", 'SAY "HELLO"', 'SAY "HELLO"'),
        ("Description", "TWO\r\nLINES", "TWO\r\nLINES"),
        ("Description", "NULL", "NULL"),
        ("Quantity", "-80995", -80995),
        ("Quantity", "2147483647", 2**31 - 1),
        ("InvoiceDate", "1/12/2011 08:26:59", datetime.fromisoformat("2011-01-12T08:26:59")),
        ("InvoiceDate", "02/29/2012 0:00", datetime.fromisoformat("2012-02-29T00:00")),
        ("InvoiceDate", "2011-01-12 08:26", datetime.fromisoformat("2011-01-12T08:26")),
        (
            "InvoiceDate",
            "2011-01-12T08:26:59.5",
            datetime.fromisoformat("2011-01-12T08:26:59.500000"),
        ),
        ("UnitPrice", "0", 0.0),
        ("UnitPrice", "-11062.06", -11062.06),
        ("UnitPrice", "1e-3", 0.001),
        ("UnitPrice", "0.0001", 0.0001),
        ("UnitPrice", "2.5500000", 2.55),
        ("UnitPrice", "0e-400", 0.0),
        ("UnitPrice", "12345678901.2345", 12345678901.2345),
        ("UnitPrice", "99999999999999", 99999999999999.0),
        ("CustomerID", "17850.0", 17850),
        ("CustomerID", "", None),
    ],
)
def test_a_value(path: Path, name: str, text: str, value: object) -> None:
    table = read_shop_data(_write(path, _fields(**{name: text})))
    assert table[name].to_pylist() == [value]


def test_an_unquoted_quote_inside_a_field_is_a_character(path: Path) -> None:
    table = read_shop_data(_write(path, _LINE.replace('"MUG, RED"', '12" RULER')))
    assert table["Description"].to_pylist() == ['12" RULER']


def test_blank_lines_are_left_out(path: Path) -> None:
    assert read_shop_data(_write(path, "", _LINE, "", _LINE, "")).num_rows == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_pound_signs_in_each_encoding(path: Path, encoding: str) -> None:
    path.write_text(f"{_HEADER}\n{_fields(Description='MUG £5')}\n", encoding=encoding)
    assert read_shop_data(path)["Description"].to_pylist() == ["MUG £5"]


def test_lines_of_many_batches_keep_their_order(path: Path) -> None:
    quantities = list(range(70_000))
    table = read_shop_data(_write(path, *(_LINE.replace(",6,", f",{n},") for n in quantities)))
    assert table["Quantity"].to_pylist() == quantities


_TEXT = st.characters(exclude_categories=["C"], include_characters='\n\r\t",')
# Letters above U+00BF are left out: followed by a sign they would be UTF-8 by chance.
_LATIN_1 = st.sampled_from("\n\r\t" + "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0xC0)])))


def _month_day_year(value: datetime) -> str:
    return f"{value.month}/{value.day}/{value.year:04} {value.hour}:{value.minute:02}"


def _is_code(text: str) -> bool:
    return text.strip(" ") == text.strip()


def _is_invoice_number(text: str) -> bool:
    is_cancellation = text.lstrip(" ")[:1].upper() == "C"
    return _is_code(text) and (text[0] == "C" or not is_cancellation)


@st.composite
def _files(draw: st.DrawFn) -> tuple[str, Callable[[datetime], str], list[dict[str, Any]]]:
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1"]))
    is_iso = draw(st.booleans())
    date = (
        st.datetimes()
        if is_iso
        else st.datetimes().map(lambda value: value.replace(second=0, microsecond=0))
    )
    text = st.text(_LATIN_1 if encoding == "latin-1" else _TEXT, min_size=1, max_size=12)
    lines = st.fixed_dictionaries(
        {
            "InvoiceNo": text.filter(_is_invoice_number),
            "StockCode": text.filter(_is_code),
            "Description": st.none() | text,
            "Quantity": st.integers(-(2**31), 2**31 - 1),
            "InvoiceDate": date,
            "UnitPrice": st.integers(-(10**15), 10**15).map(lambda n: n / 10**4),
            "CustomerID": st.none() | st.integers(-(2**63), 2**63 - 1),
            "Country": text,
        }
    )
    form = str if is_iso else _month_day_year
    return encoding, form, draw(st.lists(lines, min_size=1, max_size=5))


@pytest.mark.slow
@given(file=_files(), names=st.permutations(_NAMES), fraction=st.sampled_from(["", ".0"]))
@settings(max_examples=scaled(60, 3_000), deadline=None)
def test_what_pythons_csv_writes_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    file: tuple[str, Callable[[datetime], str], list[dict[str, Any]]],
    names: Sequence[str],
    fraction: str,
) -> None:
    encoding, date_text, lines = file
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", encoding=encoding, newline="") as target:
        writer = csv.DictWriter(target, names)
        writer.writeheader()
        for line in lines:
            customer = line["CustomerID"]
            texts = {
                "InvoiceDate": date_text(line["InvoiceDate"]),
                "CustomerID": None if customer is None else f"{customer}{fraction}",
            }
            writer.writerow(line | texts)
    assert read_shop_data(path).equals(pa.Table.from_pylist(lines, schema=SHOP_SCHEMA))


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Quantity", "six"),
        ("Quantity", "6.5"),
        ("Quantity", " 6"),
        ("Quantity", "6e3"),
        ("Quantity", "6_0"),
        ("Quantity", ".0"),
        ("Quantity", "1,000"),
        ("Quantity", "٦"),
        ("Quantity", "2147483648"),
        ("Quantity", "-2147483649"),
        ("UnitPrice", "2,55"),
        ("UnitPrice", "£2.55"),
        ("UnitPrice", "nan"),
        ("UnitPrice", "inf"),
        ("UnitPrice", "1e999"),
        ("UnitPrice", "."),
        ("UnitPrice", "2.55 "),
        ("UnitPrice", "0x10"),
        ("UnitPrice", "2_0"),
        ("UnitPrice", "2e"),
        ("UnitPrice", "1e-400"),
        ("UnitPrice", "-1e-400"),
        ("UnitPrice", "0.00004"),
        ("UnitPrice", "0.12345"),
        ("UnitPrice", "2.5500000000000000001"),
        ("UnitPrice", "99999999999999.9999"),
        ("UnitPrice", "100000000000000"),
        ("UnitPrice", "-1e14"),
        ("UnitPrice", "1e308"),
        ("CustomerID", "17850.5"),
        ("CustomerID", "nan"),
        ("CustomerID", "9223372036854775808"),
        ("InvoiceDate", "13/1/2010 8:26"),
        ("InvoiceDate", "2/30/2010 8:26"),
        ("InvoiceDate", "12/1/10 8:26"),
        ("InvoiceDate", "12/1/2010"),
        ("InvoiceDate", "12/1/2010 8:26 PM"),
        ("InvoiceDate", "12/1/2010 24:00"),
        ("InvoiceDate", "12/1/2010 8:26:60"),
        ("InvoiceDate", "2010-12-01 08:26:00"),
        ("InvoiceDate", "1.12.2010 08:26"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_place(
    path: Path, name: str, text: str
) -> None:
    refusal = _refusal(_write(path, _LINE, _fields(**{name: text}), _LINE))
    assert refusal.message.startswith(f"`{path}` line 3, column `{name}`: `{text}` is not a")
    assert "more problem" not in refusal.message


def test_a_price_of_five_decimals_says_how_many_there_may_be(path: Path) -> None:
    refusal = _refusal(_write(path, _fields(UnitPrice="0.12345")))
    assert "`0.12345` is not a finite number with at most four decimals" in refusal.message
    assert "at most four decimals" in str(refusal.hint)


@pytest.mark.parametrize("name", ["InvoiceNo", "StockCode"])
@pytest.mark.parametrize(
    "space", ["\t", "\n", "\r\n", "\xa0", "\u2003", "\u200b", "\u3000", "\ufeff", " \t "]
)
def test_white_space_around_a_code_that_is_no_plain_space(
    path: Path, name: str, space: str
) -> None:
    # The first name of the file, so that no line break stands before the value.
    names = [name, *(other for other in _NAMES if other != name)]
    line = dict(zip(_NAMES, next(csv.reader([_LINE])), strict=True))
    for code in (f"85123{space}", f"{space}85123"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows([line, line | {name: code}])
        message = _message(path)
        assert message.startswith(f"line 3, column `{name}`: `")
        assert message.endswith("` begins or ends with white space that is no plain space")


@pytest.mark.parametrize("text", ["c536379", " c536379", " C536379", "   C536379"])
def test_a_cancellation_that_does_not_begin_with_a_capital_c(path: Path, text: str) -> None:
    refusal = _refusal(_write(path, _LINE, _fields(InvoiceNo=text)))
    assert refusal.message == (
        f"`{path}` line 3, column `InvoiceNo`: `{text}` is not how a cancellation is written"
    )
    assert "capital C" in str(refusal.hint)


@pytest.mark.parametrize("name", [field.name for field in SHOP_SCHEMA if not field.nullable])
def test_an_empty_field_where_the_set_has_none(path: Path, name: str) -> None:
    assert _message(_write(path, _LINE, _fields(**{name: ""}))) == (
        f"line 3, column `{name}`: is empty"
    )


def test_a_month_first_date_among_iso_dates_is_no_date(path: Path) -> None:
    iso = _fields(InvoiceDate="2010-12-01 08:26:00")
    message = _message(_write(path, iso, iso, _LINE, _LINE))
    assert message.startswith("line 4, column `InvoiceDate`: `12/1/2010 8:26` is not a date and")
    assert "ISO form" in message
    assert message.endswith("; 1 more problem in the file")


def test_dates_of_no_known_form(path: Path) -> None:
    message = _message(_write(path, _fields(InvoiceDate="yesterday")))
    assert message == "line 2, column `InvoiceDate`: `yesterday` is not a date and time"


def test_the_line_is_the_one_an_editor_shows_after_quoted_line_breaks(path: Path) -> None:
    broken = _fields(Description="A\nMUG\r\nOF\rCLAY")
    assert _message(_write(path, broken, "", _fields(Quantity="six"))).startswith(
        "line 7, column `Quantity`: `six`"
    )
    # What is broken behind the value, and not before it, moves it down by nothing.
    assert _message(_write(path, _fields(Description="A\nMUG", InvoiceNo=""))).startswith(
        "line 2, column `InvoiceNo`"
    )
    assert _message(_write(path, broken, _fields(Description="A\nMUG", Quantity="six"))).startswith(
        "line 7, column `Quantity`: `six`"
    )


def test_the_first_date_decides_beyond_the_lines_that_are_cast_at_once(path: Path) -> None:
    lines = [*[_LINE] * text_table._BATCH_LINES, _fields(InvoiceDate="2010-12-01 08:26:00")]
    message = _message(_write(path, *lines))
    assert message.startswith(f"line {len(lines) + 1}, column `InvoiceDate`: `2010-12-01 08:26:00`")
    assert "month/day/year form" in message


def test_of_many_problems_the_first_is_named_and_the_others_are_counted(path: Path) -> None:
    lines = [_LINE] * 70_000
    lines[66_000] = _fields(UnitPrice="free", Quantity="six")
    lines[66_001] = _LINE + ",surplus"
    lines[69_000] = _fields(UnitPrice="free")
    assert _message(_write(path, *lines)) == (
        "line 66002, column `Quantity`: `six` is not a whole number of 32 bits; "
        "3 more problems in the file"
    )


def test_a_long_value_is_shown_short_and_in_one_line(path: Path) -> None:
    message = _message(_write(path, _fields(Quantity="\x9b31m\n" + "9" * 500)))
    assert r"`\x9b31m\n99999" in message
    assert "…` is not a whole number" in message
    assert len(message) < 150


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (_HEADER.replace(",Country", ""), "column `Country` is missing"),
        (_HEADER.replace("Country", "Land"), "column `Country` is missing; column `Land` is unk"),
        (_HEADER + ",Quantity", "column `Quantity` is there 2 times"),
        ("," + _HEADER, "a column has no name"),
        (
            _HEADER.replace("Quantity", "quantity"),
            "column `Quantity` is missing; column `quantity` is unk",
        ),
        (_LINE, "`536365,85123A,MUG, RED,6,12/1/2010 8:26,…` names none of the columns"),
        (_HEADER.replace(",", ";"), "the columns are separated by semicolons, not by commas"),
        ('"' + _HEADER.replace(",", '"\t"') + '"', "the columns are separated by tabs"),
    ],
    ids=["missing", "renamed", "repeated", "index", "case", "none", "semicolons", "tabs"],
)
def test_a_header_that_is_not_the_sets(path: Path, header: str, problem: str) -> None:
    assert _message(_write(path, _LINE, header=header)).startswith(f"line 1: {problem}")


def test_a_header_alone(path: Path) -> None:
    assert _message(_write(path)) == "has no lines"


@pytest.mark.parametrize(
    ("line", "n_fields"), [("536365,85123A", 2), (_LINE + ",", 9), (_LINE.replace('"', ""), 9)]
)
def test_a_line_with_another_number_of_fields(path: Path, line: str, n_fields: int) -> None:
    assert _message(_write(path, _LINE, line, _LINE)) == f"line 3: {n_fields} fields, not 8"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_cut_anywhere_in_its_last_line(path: Path, end: str) -> None:
    whole = f"{_HEADER}\n{_LINE}\n"
    # Cut in the country and closed by a line break, a line has lost nothing that can be missed.
    kept = len(whole) - (1 if not end else len("United Kingdom") + 1)
    for length in range(whole.index(_LINE) + 1, kept + 1):
        path.write_text(whole[:length] + end, newline="")
        assert re.match(r"line 2\b", _message(path)), whole[:length]


def test_a_quote_that_is_never_closed(path: Path) -> None:
    lines = [_LINE, _LINE.replace('RED"', "RED"), *[_LINE.replace('"', "")] * 5_000]
    refusal = _refusal(_write(path, *lines))
    assert "line 3: the quotes from here on do not pair" in refusal.message
    assert "close every quote" in str(refusal.hint)


def test_text_after_a_closed_quote(path: Path) -> None:
    message = _message(_write(path, _LINE, _LINE.replace('RED"', 'RED"S')))
    assert message.startswith("line 3: the quotes from here on do not pair")


def test_a_bad_value_before_a_quote_that_is_never_closed_comes_first(path: Path) -> None:
    message = _message(_write(path, _fields(Quantity="six"), _LINE.replace('RED"', "RED")))
    assert message.startswith("line 2, column `Quantity`")
    assert message.endswith("; 1 more problem in the file")


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        (b"\xa35 OR \xc2\xa35", "line 3: the byte 0xA3 is not UTF-8, as the rest of the file is"),
        (b"MUG \x96 RED", "line 3: the byte 0x96 is neither UTF-8 nor Latin-1"),
        (b"MUG\x00", "line 3: the byte 0x00 is a control character, not text"),
    ],
    ids=["mixed", "windows", "null"],
)
def test_bytes_that_are_no_text(path: Path, description: bytes, problem: str) -> None:
    damaged = _LINE.encode().replace(b"MUG, RED", description)
    # The head is larger than what is looked at to tell the form.
    path.write_bytes(b"\n".join([(_HEADER + " " * 5_000).encode(), _LINE.encode(), damaged, b""]))
    assert _message(path) == problem
