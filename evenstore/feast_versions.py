"""The range of Feast versions that the plug-ins are tested with, and the guard at their import."""

from __future__ import annotations

import re
from importlib import metadata

from evenstore.errors import ConfigurationError

__all__ = ["LOWEST", "TOO_NEW", "check_feast_version"]

LOWEST = (0, 66)
TOO_NEW = (0, 68)
"""The plug-ins use hooks that Feast does not promise to keep, so a new minor version is tried
first.
"""


def check_feast_version(version: str | None = None) -> None:
    """Refuse a Feast outside the tested range.

    Args:
        version: Installed version; looked up when None.

    Raises:
        ConfigurationError: The version is outside the range.
    """
    installed = metadata.version("feast") if version is None else version
    # Also of forms such as `0.67.0.dev3` and `0.67rc1`; no packaging library is needed for that.
    number = re.match(r"(\d+)\.(\d+)", installed)
    if number is None or not LOWEST <= (int(number[1]), int(number[2])) < TOO_NEW:
        tested = f">={LOWEST[0]}.{LOWEST[1]},<{TOO_NEW[0]}.{TOO_NEW[1]}"
        msg = f"Feast {installed} is outside the tested range {tested}"
        raise ConfigurationError(msg, hint=f"pip install 'feast{tested}'")
