from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from evenstore.errors import ConfigurationError
from evenstore.schema.repository import load_repository_config, open_repository

SECRET = "S3CRETPW"  # noqa: S105
HEAD = """\
project: shop
provider: local
entity_key_serialization_version: 3
"""
REGISTRY = "registry: registry.db\n"
SQL_REGISTRY = "registry:\n  registry_type: sql\n  path: sqlite:///x.db\n"
STORE = "online_store:\n  type: evenstore.online.store.RedisOnlineStore\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'{REGISTRY}{STORE}  connection_sting: "x:{SECRET}"\n', "`connection_sting`: Extra"),
        (f"{REGISTRY}{STORE}  timeout_s: {SECRET}\n", "`timeout_s`: Input should be a valid num"),
        (f'{REGISTRY}{STORE}  password: "{SECRET}\n', "not YAML at line "),
        (f"{REGISTRY}{STORE}  password: {SECRET}: x\n", "not YAML at line 7, column "),
        (f"{REGISTRY}{STORE}  password: !{SECRET} x\n", "not YAML at line 7, column "),
        (
            f"{SQL_REGISTRY}  sqlalchemy_config_kwargs: {SECRET}\n",
            "`sqlalchemy_config_kwargs`: Input should be a valid dictionary",
        ),
    ],
    ids=["unknown", "type", "quote", "colon", "tag", "registry"],
)
def test_what_cannot_be_used_is_named_and_not_quoted(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(HEAD + text)
    with pytest.raises(ConfigurationError) as raised:
        open_repository(tmp_path)
    assert "feature_store.yaml cannot be used: " in raised.value.message
    assert told in raised.value.message
    # A log may hold the whole traceback.
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_plug_in_that_is_not_there_is_named(tmp_path: Path) -> None:
    text = f"{REGISTRY}online_store:\n  type: no.such.FancyOnlineStore\n"
    (tmp_path / "feature_store.yaml").write_text(HEAD + text)
    with pytest.raises(ConfigurationError, match="FancyOnlineStore"):
        load_repository_config(tmp_path)
