"""What a small query costs beside the join itself: pytest-benchmark, run by `make bench`.

Each store answers 1,000 entity rows on a view of 10,000 rows, again and again in one process; the
bare query is the DuckDB range join on an open connection. `make test` does not collect this file.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.answers import digest_answer
from benchmarks.cases import CASES
from benchmarks.contenders.contender import BARE_QUERY, CONTENDERS, EVENSTORE, STOCK, Join
from benchmarks.data import Dataset, build_dataset
from benchmarks.measure import prepare

__all__ = ["test_planning_latency"]

_SEED = 7
_ROUNDS = 20

# ibis, under stock's store, calls what DuckDB calls deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:fetch_arrow_table.. is deprecated, use to_arrow_table:DeprecationWarning"
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Give the data set of the planning case, at full size: it is small."""
    return build_dataset(tmp_path_factory.mktemp("planning"), CASES["P"], scale=1, seed=_SEED)


@pytest.mark.parametrize("name", [BARE_QUERY, EVENSTORE, STOCK])
def test_planning_latency(benchmark: BenchmarkFixture, dataset: Dataset, name: str) -> None:
    """Time one call of a warm process, after its answer was found to be that of the bare query."""
    join = _open(dataset, name)
    expected = digest_answer(_open(dataset, BARE_QUERY)(), dataset.answer_columns)
    found = digest_answer(join(), dataset.answer_columns)
    assert found.value_hash == expected.value_hash
    benchmark.pedantic(join, rounds=_ROUNDS, warmup_rounds=1)


def _open(dataset: Dataset, name: str) -> Join:
    outcome = prepare(dataset.folder, name)
    if outcome.status != "ok":
        pytest.fail(str(outcome.reason))
    return CONTENDERS[name].load().open_join(dataset)
