"""Closed loop with `wrk`: as many requests as a server answers on a few connections."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenstore.errors import ConfigurationError, EvenstoreError

__all__ = ["ClosedLoop", "find_wrk", "run_closed_loop", "write_script"]

_SCRIPT = """\
local prepared, turn = {}, 0
function init(args)
  wrk.headers["content-type"] = "application/json"
  if os.getenv("API_KEY") then wrk.headers["authorization"] = "Bearer " .. os.getenv("API_KEY") end
  for body in io.lines(os.getenv("BODIES")) do
    prepared[#prepared + 1] = wrk.format("POST", "/get-online-features", wrk.headers, body)
  end
end
function request()
  turn = turn % #prepared + 1
  return prepared[turn]
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"n_requests":%d,"duration_us":%d,"n_refused":%d,"n_broken":%d,"n_bytes":%d,'
      .. '"p50_us":%d,"p99_us":%d,"max_us":%d}\\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"""
_TIMEOUT_S = 10
_SPARE_S = 30


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """What one run of wrk saw.

    Attributes:
        n_requests: Answered, whatever the answer.
        duration_us: Of the run.
        n_refused: Answers with a status of 400 or more.
        n_broken: Connections that failed, and answers that did not come in time.
        n_bytes: Received.
        p50_us: Median of the latencies, from sending to the whole answer.
        p99_us: 99 % of the answers were faster.
        max_us: The slowest.
    """

    n_requests: int
    duration_us: int
    n_refused: int
    n_broken: int
    n_bytes: int
    p50_us: float
    p99_us: float
    max_us: float

    @property
    def requests_per_s(self) -> float:
        """Answers that were no errors, per second."""
        return (self.n_requests - self.n_refused) / self.duration_us * 1e6


def find_wrk() -> str:
    """Return the path of wrk.

    Raises:
        ConfigurationError: It is not installed.
    """
    path = shutil.which("wrk")
    if path is None:
        msg = "the load generator `wrk` is not installed"
        raise ConfigurationError(msg, hint="Debian and Ubuntu: apt-get install wrk")
    return path


def write_script(folder: Path) -> Path:
    """Write what wrk sends by; it reads bodies and API key from its environment."""
    path = folder / "post_features.lua"
    path.write_text(_SCRIPT, encoding="utf-8")
    return path


def run_closed_loop(
    url: str,
    script: Path,
    bodies: Path,
    *,
    n_connections: int,
    seconds: float,
    api_key: str | None = None,
) -> ClosedLoop:
    """Keep a number of connections busy, each with one request at a time.

    Args:
        url: The server's base.
        script: What `write_script` wrote.
        bodies: A file with a request body per line, sent in turns.
        n_connections: Connections.
        seconds: How long; wrk takes whole ones.
        api_key: Sent with every request.

    Raises:
        ConfigurationError: wrk is not installed.
        EvenstoreError: wrk failed.
    """
    whole_seconds = max(1, round(seconds))
    command = [find_wrk(), "--threads", "1", "--connections", str(n_connections)]
    command += ["--duration", f"{whole_seconds}s", "--timeout", f"{_TIMEOUT_S}s"]
    command += ["--script", str(script), url]
    environ: Mapping[str, str] = {"BODIES": str(bodies)} | (
        {} if api_key is None else {"API_KEY": api_key}
    )
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=whole_seconds + _TIMEOUT_S + _SPARE_S,
        env={**os.environ, **environ},
    )
    try:
        return ClosedLoop(**json.loads(done.stderr.strip().rpartition("\n")[2]))
    except (ValueError, TypeError) as exc:
        msg = f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
        raise EvenstoreError(msg, hint="look at the server's log in the folder of --cache") from exc
