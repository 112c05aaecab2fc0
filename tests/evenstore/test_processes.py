from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evenstore.processes import deferred_signals, process_start, process_start_by_ps
from tests.support.redis_process import wait_until


@pytest.mark.parametrize(
    "identify",
    [
        pytest.param(process_start, id="proc"),
        pytest.param(
            process_start_by_ps,
            id="ps",
            marks=pytest.mark.skipif(not Path("/bin/ps").exists(), reason="a machine without ps"),
        ),
    ],
)
def test_start_of_a_process_is_known_while_it_lives(identify: Callable[[int], str | None]) -> None:
    assert identify(os.getpid()) == identify(os.getpid())
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        assert identify(other.pid) is not None
        other.kill()
        # Killed but not waited for, it is a zombie, which serves nobody.
        assert wait_until(lambda: identify(other.pid) is None)
    assert identify(other.pid) is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="a machine without /proc")
def test_process_lives_until_its_last_thread_has_ended() -> None:
    """As a killed server does, whose other threads hold its sockets for a moment longer."""
    script = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as other:
        state_file = Path(f"/proc/{other.pid}/stat")
        try:
            assert wait_until(lambda: state_file.read_text().rpartition(")")[2].split()[0] == "Z")
            assert process_start(other.pid) is not None
        finally:
            other.kill()
        assert wait_until(lambda: process_start(other.pid) is None)


def test_processes_started_one_after_the_other_are_told_apart() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        assert process_start(os.getpid()) != process_start(other.pid)
        other.kill()


def test_interrupt_is_held_back_until_the_state_is_written() -> None:
    reached: list[str] = []

    def interrupt() -> None:
        with deferred_signals():
            signal.raise_signal(signal.SIGINT)
            reached.append("end of the block")

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert reached == ["end of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
