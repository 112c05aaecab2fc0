"""The run of a mutant: in the copy, to the last process, and nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from evenstore.redis_server import RedisServer
from tests.mutants.catalogue.mutants import MUTANTS
from tests.mutants.runner import Runner, processes_of
from tests.mutants.source_copy import SourceCopy
from tests.mutants.verdict import Catcher, Verdict
from tests.mutants.world import write_world
from tests.repo.sources import ROOT
from tests.support.scale import full_only

pytestmark = [
    *(pytest.mark.redis, pytest.mark.slow, pytest.mark.e2e),
    pytest.mark.xdist_group("mutants"),
]

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
_WITNESS = """

def _note_this_process():
    import json, os, sys
    from pathlib import Path
    folder = os.environ.get("MUTANT_WITNESSES")
    if folder:
        words = Path("/proc/self/cmdline").read_bytes().decode().split(chr(0))
        seen = {"file": __file__, "package": __name__, "words": words, "pid": os.getpid()}
        Path(folder, f"{__name__}-{os.getpid()}.json").write_text(json.dumps(seen))

_note_this_process()
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A copy whose processes leave word of themselves, and a world."""

    copy: SourceCopy
    world: tuple[Path, Path]
    folder: Path
    mark: str

    @property
    def witnesses(self) -> Path:
        return self.folder / "witnesses"

    def runner(self, *, timeout_s: float = 240.0) -> Runner:
        environ = {"MUTANT_WITNESSES": str(self.witnesses), "MUTANT_TEST": self.mark}
        judges = self.folder / "judges"
        return Runner(self.copy, *self.world, judges, timeout_s=timeout_s, environ=environ)

    def read_witnesses(self) -> list[dict[str, object]]:
        return [json.loads(path.read_text() or "{}") for path in self.witnesses.iterdir()]

    def assert_nothing_is_left(self) -> None:
        assert processes_of(self.mark, name="MUTANT_TEST") == []
        assert list((self.folder / "judges").glob("evenstore-golden-*")) == []


@pytest.fixture(scope="module")
def world(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_world(tmp_path_factory.mktemp("world"), redis_server.url, n_entity_rows=40)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> SourceCopy:
    copy = SourceCopy(tmp_path_factory.mktemp("source"))
    for package in ("evenstore", "serving", "parity"):
        path = copy.folder / package / "__init__.py"
        path.write_text(path.read_text(encoding="utf-8") + _WITNESS, encoding="utf-8")
    copy.compile()
    return copy


@pytest.fixture
def bench(copy: SourceCopy, world: tuple[Path, Path], tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(copy, world, tmp_path, uuid.uuid4().hex)
    (tmp_path / "witnesses").mkdir()
    (tmp_path / "judges").mkdir()
    yield bench
    bench.assert_nothing_is_left()


def test_every_process_of_a_run_imports_the_copy_and_golden_sees_the_mutant(bench: Bench) -> None:
    mutant = BY_NAME["tie-order-as-declared"]
    verdict = bench.runner().judge(mutant)

    assert verdict.golden_stopped is verdict.oracle_stopped is None
    # Both stores are wrong alike, so that only values from before and the oracle tell.
    assert verdict.n_live == 0
    assert verdict.n_frozen_offline == verdict.n_frozen_online == verdict.n_oracle > 0
    assert verdict.is_golden_red
    assert verdict.caught_by == mutant.expected == {Catcher.FROZEN, Catcher.ORACLE}
    assert (bench.copy.folder / mutant.file).read_text() == (ROOT / mutant.file).read_text()

    seen = bench.read_witnesses()
    assert {Path(str(each["file"])).parent.parent for each in seen} == {bench.copy.folder}
    packages: defaultdict[object, set[str]] = defaultdict(set)
    for each in seen:
        packages[each["pid"]].add(str(each["package"]))
    # The judge, and of its gateway the supervisor and a worker.
    found = sorted(map(sorted, packages.values()))
    assert found.count(["evenstore", "parity"]) == 1
    assert found.count(["evenstore", "serving"]) >= 2


def test_code_that_cannot_be_imported_is_red(bench: Bench) -> None:
    mutant = replace(
        BY_NAME["best-status-of-inputs"],
        file="evenstore/errors.py",
        old="from __future__ import annotations\n",
        new="from __future__ import annotations\n\nraise RuntimeError('broken on purpose')\n",
    )
    verdict = bench.runner().judge(mutant)
    assert verdict == Verdict(golden_stopped="RuntimeError: broken on purpose")
    assert verdict.is_golden_red
    assert not verdict.is_clean


def test_mutant_that_takes_too_long_is_red_and_ended(bench: Bench) -> None:
    verdict = bench.runner(timeout_s=0.5).judge(None)
    assert verdict == Verdict(golden_stopped="no verdict after 0.5 s")


@full_only
def test_judge_that_is_killed_leaves_no_gateway(bench: Bench) -> None:
    with ThreadPoolExecutor(1) as executor:
        judging = executor.submit(bench.runner().judge, None)
        workers: list[dict[str, object]] = []
        while not workers and not judging.done():
            time.sleep(0.5)
            workers = [each for each in bench.read_witnesses() if each.get("package") == "serving"]
        (judge,) = {
            int(str(each["pid"]))
            for each in bench.read_witnesses()
            if each.get("package") == "parity"
        }
        os.kill(judge, signal.SIGKILL)
        assert judging.result().is_golden_red
