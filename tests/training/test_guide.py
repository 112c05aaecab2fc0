"""Runs the Python of docs/guides/training-dataset.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from training.dataset import TrainingDataset

_GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "training-dataset.md"


def test_the_guide_does_what_it_says(
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "feature_repo").symlink_to(feature_repo)
    shutil.copy(entity_rows_path, tmp_path / "entity_rows.parquet")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", _GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, _GUIDE.name, "exec"), names)  # noqa: S102 - The guide's own code.
    dataset = TrainingDataset.from_parquet("dataset.parquet")
    assert capsys.readouterr().out.startswith(dataset.manifest.result_hash)
    train = TrainingDataset.from_parquet("train.parquet")
    assert (dataset.n_rows, train.n_rows) == (800, len(names["split"].train))
    assert len(names["windows"]) == 3
    assert len(names["folds"]) == 4
