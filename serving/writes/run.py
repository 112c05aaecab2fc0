"""One materialization in a process of its own: `python -m serving.writes.run`.

Its standard input carries one order and stays open for as long as the writer lives; its standard
output says how it ended. Feast's own materialization runs here, so that pushes never wait for it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import orjson

from evenstore.errors import EvenstoreError, OfflineStoreError, OnlineStoreError
from evenstore.processes import interrupt_on_termination
from evenstore.schema.repository import open_repository
from serving.errors import error_response
from serving.logs import configure_logging
from serving.writes.materialization import MaterializationOrder
from serving.writes.pipes import read_line, take_standard_output

__all__ = ["main"]

logger = logging.getLogger("evenstore.serving")

_STDIN = 0
_INTERRUPTED = 130
_END_GRACE_S = 3.0
_NICENESS = 10


def main() -> int:
    """Run one materialization; returns the exit code."""
    result_fd = take_standard_output()
    configure_logging("materialization")
    # Lookups and pushes go first where they share cores.
    os.nice(_NICENESS)
    interrupt_on_termination()
    try:
        order = MaterializationOrder.from_json(read_line())
        configure_logging("materialization", log_format=order.log_format)
        threading.Thread(target=_end_with_the_writer, name="owner", daemon=True).start()
        answer = _answer(order)
    except KeyboardInterrupt:
        return _INTERRUPTED
    os.write(result_fd, answer)
    return 0


def _answer(order: MaterializationOrder) -> bytes:
    try:
        _materialize(order)
    except EvenstoreError as exc:
        response = error_response(_passing_cause(exc))
    except Exception:
        # Feast's own, or that of a plug-in: where it came from is for the log alone.
        logger.exception("the materialization failed")
        msg = f"the materialization of {', '.join(order.views)} stopped before its end"
        response = error_response(EvenstoreError(msg, hint="the gateway's log says where"))
    else:
        return orjson.dumps({"status": HTTPStatus.OK, "body": None})
    return orjson.dumps({"status": response.status_code, "body": orjson.loads(response.body)})


def _materialize(order: MaterializationOrder) -> None:
    store = open_repository(Path(order.repo_path))
    end = datetime.fromisoformat(order.end)
    if order.start is None:
        store.materialize_incremental(
            end,
            list(order.views),
            full_feature_names=order.full_feature_names,
            version=order.version,
        )
        return
    store.materialize(
        datetime.fromisoformat(order.start),
        end,
        list(order.views),
        disable_event_timestamp=order.loads_everything,
        full_feature_names=order.full_feature_names,
        version=order.version,
    )


def _passing_cause(error: EvenstoreError) -> EvenstoreError:
    """Return what stopped a run where that passes: then the caller may try again."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OnlineStoreError | OfflineStoreError):
            return cause
        cause = cause.__cause__
    return error


def _end_with_the_writer() -> None:
    # Nothing is sent after the order: this is the end of the pipe, and of the writer.
    while os.read(_STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_END_GRACE_S)
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
