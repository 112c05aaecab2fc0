"""Fills documents with lines, a run of documents at a time, in the order of time.

Cancellations return lines of earlier sales: when a sale is filled, the lines that will come back
are set aside, and wait until the run that holds their cancellation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from demo.shop.catalogue import SERVICES, Catalogue
from demo.shop.customers import COUNTRIES, HOME, Customers
from demo.shop.documents import Documents, Kind

__all__ = ["NO_DESCRIPTION", "REMARKS", "LineFiller", "Lines"]

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

REMARKS = ("check", "damages", "damaged", "?", "thrown away", "wet damaged", "ebay", "found")
"""What staff write in place of a description when they correct the stock."""

NO_DESCRIPTION = -1

_PACKS = np.array([1, 2, 3, 4, 6, 8, 10, 12, 24])
_PACK_WEIGHTS = np.array([0.2, 0.15, 0.08, 0.1, 0.14, 0.06, 0.07, 0.14, 0.06])
_CARTONS = np.array([6, 12, 24, 36, 48, 72, 96, 144, 288, 480])
_CARTON_WEIGHTS = np.array([0.3, 0.3, 0.18, 0.06, 0.06, 0.03, 0.03, 0.025, 0.01, 0.005])
_FAVOURITE_SHARE = 0.3
_MANUAL_SHARE = 0.0008
_GIFT_SHARE = 0.0001
_LOWER_CASE_SHARE = 0.055
_SECOND_MINUTE_SHARE = 0.0017
_POST_SHARE = 0.55
_DOT_MIN_LINES = 12
_FULL_RETURN_SHARE = 0.6
_CARTON_LINES = 0.6
_CARTON_DISCOUNT = 0.85
_DEARER_SHARE, _DEARER_FACTOR = 0.12, 1.2
# The web shop, whose sales have no customer, sells at retail prices.
_RETAIL_SHARE, _RETAIL_FACTOR = 0.85, 1.97
_LOSS_SHARE = 0.55
_NO_REMARK_SHARE = 0.6
# Fees are cancellations without a customer: code and weight.
_FEES = {
    "M": 0.42,
    "POST": 0.2,
    "D": 0.13,
    "S": 0.1,
    "BANK CHARGES": 0.06,
    "AMAZONFEE": 0.06,
    "CRUK": 0.03,
}


@dataclass(frozen=True, slots=True)
class Lines:
    """Invoice lines as columns.

    Attributes:
        document: Index into the documents.
        item: Index into the catalogue.
        is_lower_case: 1 where the stock code is written in lower case.
        remark: Index into REMARKS; NO_DESCRIPTION for null; len(REMARKS) for the item's own.
        quantity: Units; negative when they come back or are lost.
        second_minute: 1 where the line was entered a minute after its document began.
        price: Pounds for a unit.
    """

    document: Integers
    item: Integers
    is_lower_case: Integers
    remark: Integers
    quantity: Integers
    second_minute: Integers
    price: Floats

    def take(self, idx: Any) -> Lines:
        """Return chosen lines."""
        return Lines(*(getattr(self, field.name)[idx] for field in fields(Lines)))

    def __len__(self) -> int:
        return len(self.document)


class LineFiller:
    """Fills runs of documents; each document once, in order, because returns wait inside."""

    def __init__(
        self,
        rng: np.random.Generator,
        catalogue: Catalogue,
        customers: Customers,
        documents: Documents,
    ) -> None:
        self._rng = rng
        self._catalogue = catalogue
        self._customers = customers
        self._documents = documents
        self._return_of_sale = np.full(len(documents), -1)
        returns = np.flatnonzero(documents.sale >= 0)
        self._return_of_sale[documents.sale[returns]] = returns
        self._waiting = _nothing()
        self._n_sale_lines = int(documents.n_lines[documents.kind == Kind.SALE].sum())
        self._n_sale_lines_done = 0
        self._n_duplicates_done = 0

    def fill(self, first: int, stop: int) -> Lines:
        """Make all lines of the documents from `first` to before `stop`, in no order."""
        kind = self._documents.kind[first:stop]
        sales = self._sales(first + np.flatnonzero(kind == Kind.SALE))
        anonymous = self._anonymous(first + np.flatnonzero(kind == Kind.ANONYMOUS))
        self._set_returns_aside(sales)
        is_due = self._waiting.document < stop
        returned = self._waiting.take(is_due)
        self._waiting = self._waiting.take(~is_due)
        return _concatenate(
            sales,
            self._duplicates(sales),
            anonymous,
            returned,
            self._unmatched_returns(first, stop),
            self._adjustments(first + np.flatnonzero(kind == Kind.ADJUSTMENT)),
            self._fees(first + np.flatnonzero(kind == Kind.FEE)),
            self._debts(first + np.flatnonzero(kind == Kind.DEBT)),
        )

    def _lines_of(self, documents: Integers, items: Integers, quantity: Integers) -> Lines:
        n = len(documents)
        return Lines(
            document=documents,
            item=items,
            is_lower_case=np.zeros(n, dtype=np.int64),
            remark=np.full(n, len(REMARKS)),
            quantity=quantity,
            second_minute=np.zeros(n, dtype=np.int64),
            price=self._catalogue.prices[items].copy(),
        )

    def _expand(self, documents: Integers) -> Integers:
        return np.repeat(documents, self._documents.n_lines[documents])

    def _sales(self, documents: Integers) -> Lines:
        rng = self._rng
        line_document = self._expand(documents)
        n = len(line_document)
        customer = self._documents.customer[line_document]
        place, items = self._baskets(documents)
        favourites = self._customers.favourites
        favourite = favourites[customer, place % favourites.shape[1]]
        items = np.where(rng.random(n) < _FAVOURITE_SHARE, favourite, items)
        is_wholesale = self._customers.is_wholesale[customer] & (rng.random(n) < _CARTON_LINES)
        quantity = np.where(
            is_wholesale,
            rng.choice(_CARTONS, size=n, p=_CARTON_WEIGHTS / _CARTON_WEIGHTS.sum()),
            rng.choice(_PACKS, size=n, p=_PACK_WEIGHTS / _PACK_WEIGHTS.sum()),
        )
        lines = self._lines_of(line_document, items, quantity)
        _reprice(lines, is_wholesale, _CARTON_DISCOUNT)
        _reprice(lines, rng.random(n) < _DEARER_SHARE, _DEARER_FACTOR)
        lines.price[rng.random(n) < _GIFT_SHARE] = 0.0
        self._enter_service(lines, rng.random(n) < _MANUAL_SHARE, "M")
        self._add_postage(lines, documents)
        self._enter_late(lines, documents)
        return lines

    def _anonymous(self, documents: Integers) -> Lines:
        rng = self._rng
        line_document = self._expand(documents)
        n = len(line_document)
        _, items = self._baskets(documents)
        lines = self._lines_of(line_document, items, np.minimum(rng.geometric(0.45, n), 40))
        is_retail = rng.random(n) < _RETAIL_SHARE
        _reprice(lines, is_retail, _RETAIL_FACTOR)
        lines.is_lower_case[:] = rng.random(n) < _LOWER_CASE_SHARE
        is_dot = self._documents.n_lines[documents] >= _DOT_MIN_LINES
        self._enter_service(lines, self._last_lines(documents)[is_dot], "DOT")
        return lines

    def _baskets(self, documents: Integers) -> tuple[Integers, Integers]:
        """Draw items so that a basket hardly holds one twice; also give each line's place.

        A basket of n lines takes one item from each n-th of the popularity scale, beginning
        anywhere on it: the same shares as independent draws, without their repeats.
        """
        n_lines = self._documents.n_lines[documents]
        ends = np.cumsum(n_lines)
        place = np.arange(int(n_lines.sum())) - np.repeat(ends - n_lines, n_lines)
        size = np.repeat(n_lines, n_lines)
        turn = np.repeat(self._rng.integers(0, n_lines), n_lines)
        part = ((place + turn) % size + self._rng.random(len(place))) / size
        return place, self._catalogue.at(part)

    def _last_lines(self, documents: Integers) -> Integers:
        return np.cumsum(self._documents.n_lines[documents]) - 1

    def _add_postage(self, lines: Lines, documents: Integers) -> None:
        country = self._documents.country[documents]
        is_posted = (country != HOME) & (self._rng.random(len(documents)) < _POST_SHARE)
        # An invoice of postage alone is rare; the basket keeps its only line.
        is_posted &= self._documents.n_lines[documents] > 1
        is_carried = is_posted & (country == COUNTRIES.index("EIRE"))
        last = self._last_lines(documents)
        self._enter_service(lines, last[is_posted & ~is_carried], "POST")
        self._enter_service(lines, last[is_carried], "C2")

    def _enter_late(self, lines: Lines, documents: Integers) -> None:
        is_late = self._rng.random(len(documents)) < _SECOND_MINUTE_SHARE
        lines.second_minute[self._last_lines(documents)[is_late]] = 1

    def _enter_service(self, lines: Lines, idx: Any, code: str) -> None:
        item = self._catalogue.service(code)
        lines.item[idx] = item
        lines.quantity[idx] = 1
        lines.is_lower_case[idx] = 0
        n = len(lines.price[idx])
        lines.price[idx] = self._service_prices(np.full(n, item))

    def _service_prices(self, items: Integers) -> Floats:
        spread = self._rng.lognormal(0.0, 0.5, len(items))
        return np.asarray(np.round(self._catalogue.prices[items] * spread, 2), dtype=np.float64)

    def _set_returns_aside(self, sales: Lines) -> None:
        return_document = self._return_of_sale[sales.document]
        starts = np.flatnonzero(np.diff(sales.document, prepend=-1))
        line_idx = np.arange(len(sales)) - np.repeat(starts, np.diff(np.append(starts, len(sales))))
        is_back = (return_document >= 0) & (line_idx < self._documents.n_lines[return_document])
        back = sales.take(is_back)
        share = np.where(
            self._rng.random(len(back)) < _FULL_RETURN_SHARE, 1.0, self._rng.random(len(back))
        )
        quantity = -np.maximum(np.ceil(back.quantity * share), 1).astype(np.int64)
        back = Lines(
            document=return_document[is_back],
            item=back.item,
            is_lower_case=back.is_lower_case,
            remark=back.remark,
            quantity=quantity,
            second_minute=np.zeros(len(back), dtype=np.int64),
            price=back.price,
        )
        self._waiting = _concatenate(self._waiting, back)

    def _duplicates(self, sales: Lines) -> Lines:
        self._n_sale_lines_done += len(sales)
        due = self._documents.n_duplicates * self._n_sale_lines_done // self._n_sale_lines
        n = due - self._n_duplicates_done
        self._n_duplicates_done = due
        # Drawn with replacement: in the real set some lines are there three times.
        return sales.take(self._rng.integers(0, max(len(sales), 1), n))

    def _unmatched_returns(self, first: int, stop: int) -> Lines:
        documents = self._documents
        is_unmatched = (documents.kind[first:stop] == Kind.RETURN) & (
            documents.sale[first:stop] < 0
        )
        line_document = self._expand(first + np.flatnonzero(is_unmatched))
        n = len(line_document)
        return self._lines_of(
            line_document, self._catalogue.draw(self._rng, n), -self._rng.choice(_PACKS, size=n)
        )

    def _adjustments(self, documents: Integers) -> Lines:
        rng, n = self._rng, len(documents)
        sign = np.where(rng.random(n) < _LOSS_SHARE, -1, 1)
        quantity = sign * np.ceil(rng.lognormal(2.8, 1.4, n)).astype(np.int64)
        lines = self._lines_of(documents, self._catalogue.draw(rng, n), quantity)
        lines.price[:] = 0.0
        remarks = rng.integers(0, len(REMARKS), n)
        lines.remark[:] = np.where(rng.random(n) < _NO_REMARK_SHARE, NO_DESCRIPTION, remarks)
        return lines

    def _fees(self, documents: Integers) -> Lines:
        items = np.array([self._catalogue.service(code) for code in _FEES])
        shares = np.array(list(_FEES.values()))
        drawn = self._rng.choice(items, size=len(documents), p=shares)
        lines = self._lines_of(documents, drawn, np.full(len(documents), -1))
        lines.price[:] = self._service_prices(drawn)
        return lines

    def _debts(self, documents: Integers) -> Lines:
        item = self._catalogue.service("B")
        n = len(documents)
        lines = self._lines_of(documents, np.full(n, item), np.ones(n, dtype=np.int64))
        # One debt is booked and taken back twice, as in the real set: the only negative prices.
        is_first = documents == np.flatnonzero(self._documents.kind == Kind.DEBT)[0]
        lines.price[:] = np.where(is_first, 1.0, -1.0) * SERVICES[-1].typical_price
        return lines


def _reprice(lines: Lines, is_chosen: Bools, factor: float) -> None:
    lines.price[:] = np.where(is_chosen, np.round(lines.price * factor, 2), lines.price)


def _nothing() -> Lines:
    integers = np.zeros(0, dtype=np.int64)
    return Lines(
        integers, integers, integers, integers, integers, integers, np.zeros(0, dtype=np.float64)
    )


def _concatenate(*parts: Lines) -> Lines:
    return Lines(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Lines))
    )
