from __future__ import annotations

import re

from tests.repo.sources import ROOT, tracked_files

# Built from parts, so that this file does not name what it looks for.
MACHINE_PATHS = re.compile("|".join([r"/wo" + r"rk/", r"/ro" + r"ot/", r"/ho" + r"me/\w+/"]))
MAX_BYTES = 500_000


def test_no_file_names_a_path_of_a_machine() -> None:
    named = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if MACHINE_PATHS.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert not named


def test_no_data_or_binary_is_kept() -> None:
    data = {".parquet", ".csv", ".xlsx", ".db", ".joblib", ".pkl", ".rdb", ".aof"}
    kept = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.suffix in data or path.stat().st_size > MAX_BYTES
    ]
    assert not kept
