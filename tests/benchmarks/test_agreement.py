from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.answers import digest_answer, load_answer
from benchmarks.cases import CASES
from benchmarks.contenders.contender import (
    CONTENDERS,
    EVENSTORE,
    EVENSTORE_INDEX,
    STOCK,
)
from benchmarks.data import Dataset, build_dataset

_HAND_WRITTEN = [name for name in CONTENDERS if name not in {STOCK, EVENSTORE, EVENSTORE_INDEX}]
_SCALES = {"W": 0.0004, "H0": 0.002, "S-composite": 0.002, "S-files": 0.003}


def _value_hash(dataset: Dataset, contender: str) -> str:
    module = CONTENDERS[contender].load()
    module.prepare(dataset)
    return digest_answer(module.open_join(dataset)(), dataset.answer_columns).value_hash


@pytest.mark.slow
# ibis, under stock's store, calls what DuckDB calls deprecated.
@pytest.mark.filterwarnings(
    "ignore:fetch_arrow_table.. is deprecated, use to_arrow_table:DeprecationWarning"
)
@pytest.mark.parametrize("case", _SCALES)
def test_stock_and_ours_and_hand_written_agree(case: str, tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path, CASES[case], scale=_SCALES[case], seed=3)
    hashes = {name: _value_hash(dataset, name) for name in (STOCK, EVENSTORE, *_HAND_WRITTEN)}
    assert len(set(hashes.values())) == 1, hashes


def test_hand_written_agree_on_string_keys(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path, CASES["S-string"], scale=0.002, seed=5)
    hashes = {name: _value_hash(dataset, name) for name in _HAND_WRITTEN}
    assert len(set(hashes.values())) == 1, hashes


def test_data_hold_what_wrong_joins_get_wrong(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path, CASES["H"], scale=0.01, seed=7)
    answer = load_answer(CONTENDERS["numpy"].load().open_join(dataset)(), dataset.answer_columns)
    assert answer["view_0__int_2"].null_count > answer["view_0__int_0"].null_count > 0
    assert answer["view_0__float_4"].to_pandas().isna().sum() > answer["view_0__float_0"].null_count
    assert min(filter(None, answer["view_0__int_3"].to_pylist())) > 2**53


def test_data_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    hashes = [
        _value_hash(build_dataset(tmp_path / part, CASES["S"], scale=0.001, seed=seed), "numpy")
        for part, seed in (("one", 1), ("two", 1), ("three", 2))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_data_set_that_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path, CASES["S"], scale=0.001, seed=1)
    (dataset.folder / "case.json").unlink()
    dataset.entity_rows_path.write_bytes(b"cut off")
    again = build_dataset(tmp_path, CASES["S"], scale=0.001, seed=1)
    assert again.read_entity_rows().num_rows == dataset.case.n_entity_rows
