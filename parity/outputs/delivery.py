"""From what a command found to what people and machines get: judged, compared, written, printed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.clock import Clock, us_to_datetime
from parity.outputs.options import OutputSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from parity.report import ParityReport
    from parity.waivers.waiver import Waiver

__all__ = ["Delivery"]


class Delivery:
    """Judges and delivers the report of one run.

    The waivers and the previous run are read when it is made, so that a mistake in them does not
    cost a comparison.

    Args:
        settings: Where the report goes and how it is judged.
        clock: Tells the day that waivers are judged at, and when the run ended.

    Raises:
        ConfigurationError: A file has no place, or the waivers or the previous run cannot be read.
    """

    def __init__(self, settings: OutputSettings, clock: Clock) -> None:
        settings.refuse_unwritable()
        self._settings = settings
        self._clock = clock
        self._waivers = _read_waivers(settings)
        self._previous = _read_previous(settings)

    def deliver(self, report: ParityReport) -> ParityReport:
        """Judge a report, write every file that was asked for, and print it.

        Raises:
            ConfigurationError: A file cannot be written, or the previous run is of something else.
        """
        judged = self._judge(report)
        self._write(judged)
        from parity.outputs.terminal import print_report

        print_report(judged, sys.stderr if self._settings.is_json_on_stdout else sys.stdout)
        return judged

    def _judge(self, report: ParityReport) -> ParityReport:
        from parity.outputs.previous import compare_previous
        from parity.waivers.application import apply_waivers

        judged = apply_waivers(
            report,
            self._waivers,
            today=us_to_datetime(self._clock.now_us()).date(),
            allows_unknown_causes=self._settings.allows_unknown_causes,
        )
        if self._previous is None:
            return judged
        return replace(judged, previous=compare_previous(judged, self._previous))

    def _write(self, report: ParityReport) -> None:
        from parity.outputs.cells import write_cells
        from parity.outputs.junit import write_junit
        from parity.outputs.markdown import write_markdown
        from parity.outputs.prometheus import write_prometheus

        settings = self._settings
        self._write_json(report)
        if settings.junit is not None:
            write_junit(report, settings.junit)
        if settings.markdown is not None:
            write_markdown(report, settings.markdown)
        if settings.parquet is not None:
            write_cells(report, settings.parquet)
        if settings.prometheus is not None:
            write_prometheus(report, settings.prometheus, finished_us=self._clock.now_us())

    def _write_json(self, report: ParityReport) -> None:
        from parity.document import build_document, render_document, write_document

        target = self._settings.json
        if self._settings.is_json_on_stdout:
            sys.stdout.write(render_document(build_document(report)))
        elif target is not None:
            write_document(build_document(report), Path(target))


def _read_waivers(settings: OutputSettings) -> tuple[Waiver, ...]:
    if settings.waivers is None:
        return ()
    from parity.waivers.file import read_waivers

    return read_waivers(settings.waivers)


def _read_previous(settings: OutputSettings) -> Mapping[str, Any] | None:
    if settings.previous is None:
        return None
    from parity.outputs.previous import read_previous

    return read_previous(settings.previous)
