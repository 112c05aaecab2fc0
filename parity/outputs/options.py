"""The options of every command that ends with a report: where it goes, and how it is judged.

Light, so that a wrong argument is refused before Feast is imported.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from evenstore.errors import ConfigurationError

__all__ = ["STDOUT", "OutputSettings", "add_output_arguments", "output_settings"]

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Where a report goes and how it is judged.

    Attributes:
        json: File of the JSON document, or `-` for standard output.
        junit: File of the JUnit XML.
        markdown: File of the Markdown.
        parquet: File of the differing cells.
        prometheus: File of the Prometheus textfile.
        previous: JSON document of a previous run to compare with.
        waivers: File of waivers.
        allows_unknown_causes: Let waivers accept the cause `unknown`.
    """

    json: str | None = None
    junit: Path | None = None
    markdown: Path | None = None
    parquet: Path | None = None
    prometheus: Path | None = None
    previous: Path | None = None
    waivers: Path | None = None
    allows_unknown_causes: bool = False

    @property
    def is_json_on_stdout(self) -> bool:
        """Tell whether standard output is for the machine; people read standard error then."""
        return self.json == STDOUT

    def refuse_unwritable(self) -> None:
        """Find out before the comparison, which takes longer, whether a file has a place.

        Raises:
            ConfigurationError: A file is a folder, or its folder does not exist.
        """
        json_file = None if self.json is None or self.is_json_on_stdout else Path(self.json)
        files = (json_file, self.junit, self.markdown, self.parquet, self.prometheus)
        for target in files:
            if target is not None and (target.is_dir() or not target.parent.is_dir()):
                msg = f"no place for the report: {str(target)!r}"
                raise ConfigurationError(msg, hint="name a file in a folder that exists")


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command; where it has one of the name already, this one counts."""
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument(
        "--json", metavar="PATH", help="write the whole report as JSON; - for standard output"
    )
    for name, what in (
        ("junit", "write JUnit XML, a test case per feature"),
        ("markdown", 'write Markdown, for instance to "$GITHUB_STEP_SUMMARY"'),
        ("parquet", "write the differing cells as Parquet"),
        ("prometheus", "write a textfile for Prometheus' node exporter"),
        ("previous", "compare with the JSON report of a previous run: new, fixed, still there"),
    ):
        outputs.add_argument(f"--{name}", type=Path, metavar="PATH", help=what)
    gate = parser.add_argument_group("gate")
    gate.add_argument(
        "--waivers",
        type=Path,
        metavar="PATH",
        help="TOML or YAML file of declared tolerances and accepted causes, with reason, owner "
        "and expiry date",
    )
    gate.add_argument(
        "--allow-unknown-causes",
        action="store_true",
        help="let waivers accept differing values for which no cause is found; otherwise every "
        "one violates parity",
    )


def output_settings(arguments: argparse.Namespace) -> OutputSettings:
    """Read the settings from parsed options."""
    return OutputSettings(
        json=arguments.json,
        junit=arguments.junit,
        markdown=arguments.markdown,
        parquet=arguments.parquet,
        prometheus=arguments.prometheus,
        previous=arguments.previous,
        waivers=arguments.waivers,
        allows_unknown_causes=arguments.allow_unknown_causes,
    )
