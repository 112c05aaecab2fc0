"""Feast's own command line, run in this process: a process of its own costs ten seconds each."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from click.testing import CliRunner
from feast.cli.cli import cli

__all__ = ["STRANGER_WARNINGS", "feast"]

STRANGER_WARNINGS = (
    # The repo that `feast init` makes has an entity without a type.
    "ignore:Entity value_type will be mandatory:DeprecationWarning",
    # Stock's offline stores, through pandas, dask and Ibis.
    "ignore:Discarding nonzero nanoseconds in conversion:UserWarning",
    "ignore:fetch_arrow_table.. is deprecated, use to_arrow_table:DeprecationWarning",
)
"""Of Feast itself, about repos that are not ours to change."""

_COLOURS = re.compile(r"\x1b\[\d*m")


def feast(folder: Path, command: str) -> str:
    """Run `feast <command>` in a folder; returns what it printed.

    Raises:
        Exception: Whatever ended the command.
        AssertionError: It ended with another exit code than 0.
    """
    with chdir(folder), _as_new_process(folder):
        done = CliRunner().invoke(cli, command.split())
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return _COLOURS.sub("", done.output)


@contextmanager
def _as_new_process(folder: Path) -> Iterator[None]:
    """Forget what a command imports by bare name, and the levels that it gives to all loggers."""
    path = list(sys.path)
    known = set(sys.modules)
    levels = {
        logger: logger.level
        for logger in (logging.root, *logging.root.manager.loggerDict.values())
        if isinstance(logger, logging.Logger)
    }
    handlers = list(logging.root.handlers)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            source = getattr(sys.modules[name], "__file__", None)
            if source is not None and Path(source).is_relative_to(folder):
                del sys.modules[name]
        for logger, level in levels.items():
            logger.setLevel(level)
        logging.root.handlers[:] = handlers
