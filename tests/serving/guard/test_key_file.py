from __future__ import annotations

import json
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evenstore.clock import FrozenClock, SystemClock
from evenstore.errors import ConfigurationError
from serving.guard.key_file import create_key, hash_key, read_records, revoke_key, warn_of_mode

CLOCK = FrozenClock(1_700_000_000_000_000)


def test_the_file_holds_the_hash_and_not_the_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    record, key = create_key(path, "checkout", ["write", "read"], CLOCK, expires_in_s=60)
    assert read_records(path) == (record,)
    assert record.scopes == ("read", "write")
    assert record.expires_us == CLOCK.now_us() + 60_000_000
    assert bytes.fromhex(record.sha256) == hash_key(key.encode())
    assert key.startswith("evs_")
    assert len(key) > 40
    assert key not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_differ(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert len({create_key(path, f"k{n}", ["read"], CLOCK)[1] for n in range(20)}) == 20


def test_revoked_keys_are_gone_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key(path, "one", ["read"], CLOCK)
    two, _ = create_key(path, "two", ["read"], CLOCK)
    path.chmod(0o640)
    assert revoke_key(path, "one").name == "one"
    assert read_records(path) == (two,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640, "a group that may read it keeps that"
    with pytest.raises(ConfigurationError, match="no key `one`"):
        revoke_key(path, "one")


def test_keys_made_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    threads = [
        threading.Thread(target=create_key, args=(path, f"k{n}", ["read"], SystemClock()))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {record.name for record in read_records(path)} == {f"k{n}" for n in range(16)}
    assert [item.name for item in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("name", ["", "a b", "é", "a" * 65, "-a", "a\n", "a/b"])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a name"):
        create_key(tmp_path / "keys.json", name, ["read"], CLOCK)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key(path, "one", ["read"], CLOCK)
    with pytest.raises(ConfigurationError, match="already"):
        create_key(path, "one", ["write"], CLOCK)


def test_a_key_needs_a_scope(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no scope"):
        create_key(tmp_path / "keys.json", "one", [], CLOCK)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2, "keys": []}',
        '{"format": 1, "keys": [{}]}',
        '{"format": 1, "keys": {"a": 1}}',
        '{"format": 1, "keys": [{"name": "a", "scopes": ["all"], "sha256": "00"}]}',
        '{"format": 1, "keys": [{"name": "a", "scopes": ["read"], "sha256": "xyz"}]}',
    ],
)
def test_other_files_are_refused_without_quoting_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="not a file of API keys") as raised:
        read_records(path)
    assert raised.value.__cause__ is None


def test_an_expiry_without_a_zone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key(path, "one", ["read"], CLOCK, expires_in_s=60)
    document = json.loads(path.read_text())
    document["keys"][0]["expires"] = "2030-01-01T00:00:00"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError, match="not a file of API keys"):
        read_records(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.json.*\n\nhint: make the file"):
        read_records(tmp_path / "gone.json")


def test_the_mode_counts(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key(path, "one", ["read"], CLOCK)
    assert warn_of_mode(path) is None
    path.chmod(0o644)
    assert "can read" in (warn_of_mode(path) or "")
    path.chmod(0o602)
    with pytest.raises(ConfigurationError, match="can write"):
        read_records(path)


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "keys.json", tmp_path / "link.json"
    link.symlink_to("real/keys.json")
    create_key(link, "one", ["read"], CLOCK)
    create_key(link, "two", ["read"], CLOCK)
    revoke_key(link, "one")
    assert link.is_symlink()
    assert [record.name for record in read_records(real)] == ["two"]
    assert [item.name for item in real.parent.iterdir()] == ["keys.json"]


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    link = tmp_path / "keys.json"
    link.symlink_to("keys.json")
    for act in (lambda: read_records(link), lambda: revoke_key(link, "one")):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            act()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_the_mode_stays_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    create_key(path, "one", ["read"], CLOCK)
    path.chmod(mode)
    before = os.umask(0o077)
    try:
        create_key(path, "two", ["read"], CLOCK)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        revoke_key(path, "two")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_and_group_stay(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key(path, "one", ["read"], CLOCK)
    path.chmod(0o640)
    os.chown(path, OTHER_ID, OTHER_ID + 1)
    create_key(path, "two", ["read"], CLOCK)
    revoke_key(path, "one")
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (OTHER_ID, OTHER_ID + 1)
    assert stat.S_IMODE(status.st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_an_owner_that_cannot_be_kept_is_told_and_nothing_is_changed() -> None:
    # Not below `tmp_path`, which only its owner may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        path = folder / "keys.json"
        record, _ = create_key(path, "one", ["read"], CLOCK)
        path.chmod(0o644)
        with (
            another_user(),
            pytest.raises(ConfigurationError, match=r"was not changed: its owner.*\n\nhint: run"),
        ):
            revoke_key(path, "one")
        assert read_records(path) == (record,)
        assert list(folder.iterdir()) == [path]


OTHER_ID = 65_534


@contextmanager
def another_user() -> Iterator[None]:
    before = os.geteuid()
    os.seteuid(OTHER_ID)
    try:
        yield
    finally:
        os.seteuid(before)
