"""The guard on Feast's version."""

from __future__ import annotations

import pytest

from evenstore.errors import ConfigurationError
from evenstore.feast_versions import check_feast_version


@pytest.mark.parametrize("version", [None, "0.66.0", "0.67.0", "0.67.1.dev3", "0.67rc1", "0.66"])
def test_tested_version_passes(version: str | None) -> None:
    check_feast_version(version)


@pytest.mark.parametrize(
    "version", ["0.65.9", "0.68.0", "0.68.0rc1", "1.0.0", "0.7.0", "1", "", "x.y"]
)
def test_other_version_is_refused_with_the_range(version: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_feast_version(version)
    assert caught.value.message == f"Feast {version} is outside the tested range >=0.66,<0.68"
    assert caught.value.hint == "pip install 'feast>=0.66,<0.68'"
