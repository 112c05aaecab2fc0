from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.commands import main
from benchmarks.online.cases import CASES, PACKED
from benchmarks.online.results import OnlineResults
from benchmarks.results import read_document
from tests.repo.sources import ROOT
from tests.support.redis_process import wait_until
from tests.support.scale import full_only

_WRONG = "tests.benchmarks.wrong_store"
_STARTER = """
import sys, time
from pathlib import Path
from benchmarks.online.server import measured_server

with measured_server(Path(sys.argv[1]), max_bytes=100_000_000) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""


@full_only
@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.redis
def test_the_command_times_who_is_right_and_reports_who_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    words = ["online", "--cases", "MH", "--scale", "0.001", "--repeats", "1", "--out", str(out)]
    words += ["--cache", str(tmp_path), "--contenders", f"{PACKED},{_WRONG}"]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert "wrong: after load: view_0__int_2 of driver_id " in printed.out
    results = OnlineResults.from_document(read_document(out))
    contenders = results.cases["MH"].contenders
    assert {name: len(of.loads.get("load", ())) for name, of in contenders.items()} == {
        PACKED: 1,
        _WRONG: 0,
    }
    assert results.failures == [f"MH/{_WRONG}: wrong: {contenders[_WRONG].reason}"]
    assert not list(tmp_path.glob("*/wor?/*"))
    assert main(["report", str(out)]) == 0
    assert capsys.readouterr().out == printed.out


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.redis
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_an_interrupt_leaves_no_server_and_no_folder(tmp_path: Path) -> None:
    words = ["online", "--cases", "OG", "--scale", "0.01", "--contenders", PACKED, "--json"]
    words += ["--cache", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert wait_until(lambda: any("online-step" in line for line in _commands(tmp_path)))
        run.terminate()
        document = json.loads(run.communicate(timeout=300)[0])
    assert run.returncode == 130
    assert not document["is_complete"]
    assert not list(_commands(tmp_path))
    assert not list(tmp_path.glob("*/wor?/*"))


@pytest.mark.redis
def test_a_server_ends_when_its_benchmark_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        os.kill(pid, 0)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert wait_until(lambda: not _is_alive(pid))


def test_cases_and_contenders_are_listed_and_unknown_ones_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["online", "--help"])
    printed = capsys.readouterr().out
    for name in (*CASES, "feast-batched", PACKED, "evenstore-feast"):
        assert f"  {name} " in printed
    assert main(["online", "--cases", "M1,X"]) == 1
    assert "no such case: 'X'" in capsys.readouterr().err
    assert main(["online", "--contenders", "memcached"]) == 1
    assert "no such contender: 'memcached'" in capsys.readouterr().err


def _commands(folder: Path) -> list[str]:
    """Return the command lines of processes that name a folder, but for the benchmark's own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and " online --cases" not in line:
            found.append(line)
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
