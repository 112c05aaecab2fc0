"""Golden rows: requests of every kind, for showing that batch and gateway give the same scores.

They are drawn by seed from the shop's own data, with the rare kinds over-represented, plus requests
that no honest shop sends: customers and products that do not exist, pairs never bought, quantities
and prices at the edge. The files hold no timestamp; the scorer adds the instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.labels.product_lines import open_product_lines
from demo.labels.strata import draw_strata, share_out
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import ConfigurationError, TransformError
from evenstore.whole_file import whole_file

__all__ = [
    "CUSTOMER_SCHEMA",
    "RETURNS_REQUEST_SCHEMA",
    "GoldenReport",
    "draw_churn_golden",
    "draw_returns_golden",
    "list_customers",
]

CUSTOMER_SCHEMA = pa.schema([pa.field("customer_id", pa.int64(), nullable=False)])
"""The entity rows of a churn score, without an instant."""

RETURNS_REQUEST_SCHEMA = pa.schema(
    [
        pa.field("customer_id", pa.int64(), nullable=False),
        pa.field("stock_code", pa.string(), nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("unit_price", pa.float64(), nullable=False),
        pa.field("basket_value", pa.float64(), nullable=False),
    ]
)
"""The entity rows and request data of a return score, without an instant."""

Integers = np.ndarray[Any, np.dtype[np.int64]]

_DAY_US = 86_400_000_000
_RECENT_US = 30 * _DAY_US
# Beyond the 90-day windows of the features, where the stored row is old or there is none.
_SILENT_US = 90 * _DAY_US
_HEAVY_QUANTILE = 0.95

_CUSTOMER_PERCENTS = {
    "unknown": 2,
    "recent": 20,
    "silent": 20,
    "one_order": 15,
    "heavy": 15,
    "any": 28,
}
_LINE_PERCENTS = {
    "unknown_customer": 2,
    "unknown_product": 2,
    "never_bought": 18,
    "edge": 8,
    "recent": 30,
    "old": 30,
    "any": 10,
}
# The ends of what an int64 key can be, and what a careless client sends for "none".
_EDGE_CUSTOMERS = np.array([0, -1, 2**63 - 1], dtype=np.int64)
# 80,995 units are the largest sale of the real set; the last quantity does not fit in 32 bits.
_EDGE_QUANTITIES = np.array([1, 80_995, 1_000_000, 2**31], dtype=np.int64)
_EDGE_PRICES = np.array([0.001, 0.01, 100_000.0])
_N_TRIES = 20


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """What was drawn.

    Attributes:
        n_rows: Rows in the file, exactly as asked for.
        kinds: Rows of each kind; where the shop cannot give a kind, ordinary rows (`any`) stand in
            for it.
    """

    n_rows: int
    kinds: dict[str, int]


def draw_churn_golden(
    lines_path: Path,
    destination: Path,
    *,
    n_rows: int,
    seed: int,
    limits: SessionLimits | None = None,
) -> GoldenReport:
    """Write customers to score: active, long silent, one-order, heavy, and some that do not exist.

    Args:
        lines_path: Invoice lines, Parquet, in the columns of `SHOP_SCHEMA`.
        destination: The Parquet file to write, in the columns of `CUSTOMER_SCHEMA`, in drawn order.
        n_rows: At least 1; with 50 or more every kind the shop can give is there.
        seed: Any integer from 0.
        limits: Threads and memory of DuckDB.

    Guarantees:
        Exactly `n_rows` rows; the same lines and seed give the same bytes. A customer comes twice
        only when there are fewer customers than rows.

    Raises:
        ConfigurationError: The count or the seed is too small, or the file cannot be written.
        TransformError: There are no lines, or none is a sale.
        OfflineStoreError: DuckDB cannot read the lines.
    """
    rng = _open_rng(n_rows, seed)
    table, last_us = _customers(lines_path, limits)
    known: Integers = table["customer_id"].to_numpy()
    n_orders = table["n_orders"].to_numpy()
    age_us = last_us - table["last_sold_us"].to_numpy()
    counts = share_out(_CUSTOMER_PERCENTS, n_rows)
    pools = {
        "recent": age_us <= _RECENT_US,
        "silent": age_us > _SILENT_US,
        "one_order": n_orders == 1,
        "heavy": n_orders >= max(2.0, float(np.quantile(n_orders, _HEAVY_QUANTILE))),
        "any": np.ones(len(known), dtype=np.bool_),
    }
    chosen, kinds = draw_strata(rng, pools, counts)
    unknown = _unknown_customers(rng, known, counts["unknown"])
    customers = rng.permutation(np.concatenate([known[chosen], unknown]))
    _write(destination, pa.table([customers], schema=CUSTOMER_SCHEMA))
    return GoldenReport(n_rows, {"unknown": len(unknown), **kinds})


def draw_returns_golden(
    lines_path: Path,
    destination: Path,
    *,
    n_rows: int,
    seed: int,
    limits: SessionLimits | None = None,
) -> GoldenReport:
    """Write checkout lines to score: real ones, recent and old, and what no honest shop sends.

    Args:
        lines_path: Invoice lines, Parquet, in the columns of `SHOP_SCHEMA`.
        destination: The Parquet file to write, in the columns of `RETURNS_REQUEST_SCHEMA`, in drawn
            order.
        n_rows: At least 1; with 50 or more every kind the shop can give is there.
        seed: Any integer from 0.
        limits: Threads and memory of DuckDB.

    Guarantees:
        Exactly `n_rows` rows; the same lines and seed give the same bytes. A real line comes twice
        only when there are fewer lines than rows.

    Raises:
        ConfigurationError: The count or the seed is too small, or the file cannot be written.
        TransformError: There are no lines, or none is a sale.
        OfflineStoreError: DuckDB cannot read the lines.
    """
    rng = _open_rng(n_rows, seed)
    with open_product_lines(lines_path, limits=limits) as lines:
        lines.run("checkout_lines.sql")
        table = _refuse_empty(lines.fetch("golden_lines.sql"), lines_path)
        last_us = lines.counts.last_us
    counts = share_out(_LINE_PERCENTS, n_rows)
    parts = {
        "unknown_customer": _with_unknown_customers(rng, table, counts["unknown_customer"]),
        "unknown_product": _with_unknown_products(rng, table, counts["unknown_product"]),
        "never_bought": _never_bought(rng, table, counts["never_bought"]),
        "edge": _at_the_edge(rng, table, counts["edge"]),
    }
    kinds = {kind: len(part) for kind, part in parts.items()}
    is_recent = last_us - table["sold_us"].to_numpy() <= _RECENT_US
    pools = {
        "recent": is_recent,
        "old": ~is_recent,
        "any": np.ones(len(table), dtype=np.bool_),
    }
    counts["any"] += counts["never_bought"] - kinds["never_bought"]
    chosen, real_kinds = draw_strata(rng, pools, counts)
    parts["real"] = table.take(pa.array(chosen))
    names = RETURNS_REQUEST_SCHEMA.names
    requests = pa.concat_tables([part.select(names) for part in parts.values()])
    shuffled = requests.take(pa.array(rng.permutation(n_rows)))
    _write(destination, shuffled.cast(RETURNS_REQUEST_SCHEMA))
    return GoldenReport(n_rows, kinds | real_kinds)


def list_customers(
    lines_path: Path, destination: Path, *, limits: SessionLimits | None = None
) -> int:
    """Write every customer with a sale, the input of a batch score, and return how many.

    Args:
        lines_path: Invoice lines, Parquet, in the columns of `SHOP_SCHEMA`.
        destination: The Parquet file to write, in the columns of `CUSTOMER_SCHEMA`, ascending.
        limits: Threads and memory of DuckDB.

    Raises:
        TransformError: There are no lines, or none is a sale.
        ConfigurationError: The file cannot be written.
        OfflineStoreError: DuckDB cannot read the lines.
    """
    table, _ = _customers(lines_path, limits)
    _write(destination, table.select(CUSTOMER_SCHEMA.names).cast(CUSTOMER_SCHEMA))
    return int(table.num_rows)


def _open_rng(n_rows: int, seed: int) -> np.random.Generator:
    if n_rows < 1:
        msg = f"{n_rows} golden rows are too few"
        raise ConfigurationError(msg, hint="ask for 50 or more, so that every kind is there")
    if seed < 0:
        msg = f"the seed is negative: {seed}"
        raise ConfigurationError(msg, hint="use 0 or more")
    return np.random.default_rng(seed)


def _customers(lines_path: Path, limits: SessionLimits | None) -> tuple[pa.Table, int]:
    with open_product_lines(lines_path, limits=limits) as lines:
        table = _refuse_empty(lines.fetch("sale_customers.sql"), lines_path)
        return table, lines.counts.last_us


def _refuse_empty(table: pa.Table, lines_path: Path) -> pa.Table:
    if table.num_rows == 0:
        msg = f"`{lines_path}` has no sale to a known customer"
        raise TransformError(msg, hint="make the shop data anew")
    return table


def _unknown_customers(rng: np.random.Generator, known: Integers, n_ids: int) -> Integers:
    # Around and between the known ones, as typing errors and customers of tomorrow are.
    highest = min(2 * max(int(known.max()), 1000), 2**63 - 2)
    drawn = np.zeros(0, dtype=np.int64)
    while len(drawn) < n_ids:
        candidates = rng.integers(1, highest, size=n_ids, endpoint=True)
        drawn = np.append(drawn, candidates[~np.isin(candidates, known)])
    edges = _EDGE_CUSTOMERS[~np.isin(_EDGE_CUSTOMERS, known)]
    return np.concatenate([drawn[:1], edges, drawn[1:]])[:n_ids]


def _any_lines(rng: np.random.Generator, table: pa.Table, n_rows: int) -> pa.Table:
    return table.take(pa.array(rng.integers(0, len(table), size=n_rows)))


def _with_unknown_customers(rng: np.random.Generator, table: pa.Table, n_rows: int) -> pa.Table:
    unknown = _unknown_customers(rng, table["customer_id"].to_numpy(), n_rows)
    return _replace(_any_lines(rng, table, n_rows), "customer_id", pa.array(unknown))


def _with_unknown_products(rng: np.random.Generator, table: pa.Table, n_rows: int) -> pa.Table:
    suffix = "ZZ"
    while pc.any(pc.ends_with(table["stock_code"], suffix)).as_py():
        suffix += "Z"
    numbers = rng.integers(10_000, 100_000, size=n_rows)
    codes = pa.array([f"{number}{suffix}" for number in numbers], pa.string())
    return _replace(_any_lines(rng, table, n_rows), "stock_code", codes)


def _never_bought(rng: np.random.Generator, table: pa.Table, n_rows: int) -> pa.Table:
    """Put one line's product into another's hands; fewer rows when all have bought almost all."""
    customers, customer_idx = np.unique(table["customer_id"].to_numpy(), return_inverse=True)
    codes = table["stock_code"].combine_chunks().dictionary_encode()
    product_idx = codes.indices.to_numpy().astype(np.int64)
    n_products = len(codes.dictionary)
    bought = np.unique(customer_idx * n_products + product_idx)
    buyers, items = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for _ in range(_N_TRIES):
        buyer, item = rng.integers(0, len(table), size=(2, n_rows))
        is_new = ~np.isin(customer_idx[buyer] * n_products + product_idx[item], bought)
        buyers, items = np.append(buyers, buyer[is_new]), np.append(items, item[is_new])
        if len(items) >= n_rows:
            break
    buyer_ids = customers[customer_idx[buyers[:n_rows]]]
    return _replace(table.take(pa.array(items[:n_rows])), "customer_id", pa.array(buyer_ids))


def _at_the_edge(rng: np.random.Generator, table: pa.Table, n_rows: int) -> pa.Table:
    idx = np.arange(n_rows)
    quantities = _EDGE_QUANTITIES[idx % len(_EDGE_QUANTITIES)]
    # One step further each round, so that every quantity meets every price.
    prices = _EDGE_PRICES[(idx + idx // len(_EDGE_QUANTITIES)) % len(_EDGE_PRICES)]
    lines = _any_lines(rng, table, n_rows)
    lines = _replace(lines, "quantity", pa.array(quantities))
    lines = _replace(lines, "unit_price", pa.array(prices))
    return _replace(lines, "basket_value", pa.array(quantities * prices))


def _replace(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _write(destination: Path, table: pa.Table) -> None:
    with whole_file(destination) as temporary:
        pq.write_table(table, temporary, compression="zstd")
