from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from evenstore.errors import ConfigurationError
from serving.cli import _parser, _settings
from serving.errors import AccessDeniedError, NotAuthenticatedError
from serving.guard.api_keys import GRACE_S, ApiKeys, presented_key
from serving.guard.key_file import create_key, revoke_key
from tests.serving.loggers import lines_reach


@dataclass(slots=True)
class Stopwatch:
    """Seconds that a test lets pass."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(slots=True)
class SteppedClock:
    """A clock that a test moves."""

    instant_us: int = 1_700_000_000_000_000
    is_frozen: bool = False

    def now_us(self) -> int:
        return self.instant_us


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture(autouse=True)
def _log_lines_reach_the_test(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with lines_reach(caplog):
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_allows_its_scopes_and_no_other(path: Path, clock: SteppedClock) -> None:
    _, reader = create_key(path, "reader", ["read"], clock)
    _, both = create_key(path, "both", ["read", "write"], clock)
    keys = ApiKeys(path, clock)
    assert keys.authorize(reader.encode(), "read") == "reader"
    assert keys.authorize(both.encode(), "read") == "both"
    assert keys.authorize(both.encode(), "write") == "both"
    with pytest.raises(AccessDeniedError, match="`reader` does not allow `write`"):
        keys.authorize(reader.encode(), "write")
    assert (keys.n_denied, keys.n_not_authenticated) == (1, 0)


@pytest.mark.parametrize("key", [None, b"", b"evs_unknown", b"\xff\x00", b"x" * 100_000])
def test_other_keys_are_not_authenticated(
    path: Path, clock: SteppedClock, key: bytes | None
) -> None:
    create_key(path, "reader", ["read"], clock)
    keys = ApiKeys(path, clock)
    with pytest.raises(NotAuthenticatedError) as raised:
        keys.authorize(key, "read")
    assert keys.n_not_authenticated == 1
    if key:
        assert key.decode("latin-1") not in str(raised.value)


def test_the_hash_is_no_key(path: Path, clock: SteppedClock) -> None:
    record, _ = create_key(path, "reader", ["read"], clock)
    keys = ApiKeys(path, clock)
    for stolen in (record.sha256.encode(), bytes.fromhex(record.sha256)):
        with pytest.raises(NotAuthenticatedError):
            keys.authorize(stolen, "read")


def test_keys_rotate_without_a_restart(path: Path, clock: SteppedClock) -> None:
    _, old = create_key(path, "old", ["read"], clock)
    keys = ApiKeys(path, clock)
    _, new = create_key(path, "new", ["read"], clock)
    keys.refresh()
    assert keys.authorize(old.encode(), "read") == "old"
    assert keys.authorize(new.encode(), "read") == "new"
    revoke_key(path, "old")
    keys.refresh()
    assert keys.authorize(new.encode(), "read") == "new"
    with pytest.raises(NotAuthenticatedError):
        keys.authorize(old.encode(), "read")


def test_keys_expire_without_a_change_of_the_file(path: Path, clock: SteppedClock) -> None:
    _, key = create_key(path, "short", ["read"], clock, expires_in_s=10)
    keys = ApiKeys(path, clock)
    clock.instant_us += 9_999_999
    keys.refresh()
    assert keys.authorize(key.encode(), "read") == "short"
    clock.instant_us += 1
    keys.refresh()
    with pytest.raises(NotAuthenticatedError):
        keys.authorize(key.encode(), "read")


@pytest.mark.parametrize("breakage", ["broken", "gone", "writable"])
def test_a_file_that_cannot_be_used_keeps_the_old_keys_and_is_told_once(
    path: Path, clock: SteppedClock, breakage: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, key = create_key(path, "reader", ["read"], clock)
    keys = ApiKeys(path, clock)
    if breakage == "broken":
        path.write_text('{"keys": [')
    elif breakage == "gone":
        path.unlink()
    else:
        path.chmod(0o666)
    keys.refresh()
    keys.refresh()
    assert keys.authorize(key.encode(), "read") == "reader"
    assert caplog.text.count("keeping the API keys as they were") == 1


@pytest.mark.parametrize("breakage", ["broken", "gone", "writable", "dangling"])
def test_no_key_outlasts_its_file_for_long(
    path: Path, clock: SteppedClock, breakage: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, key = create_key(path, "reader", ["read"], clock)
    link, elsewhere = path.with_name("link.json"), path.with_name("elsewhere.json")
    link.symlink_to(path.name)
    stopwatch = Stopwatch()
    keys = ApiKeys(link, clock, monotonic_s=stopwatch)
    stopwatch.now_s += 10_000
    keys.refresh()
    text = path.read_text()
    if breakage == "broken":
        path.write_text('{"keys": [')
    elif breakage == "gone":
        path.unlink()
    elif breakage == "writable":
        path.chmod(0o666)
    else:
        path.rename(elsewhere)
    stopwatch.now_s += GRACE_S - 1
    keys.refresh()
    assert keys.authorize(key.encode(), "read") == "reader"
    stopwatch.now_s += 1
    keys.refresh()
    keys.refresh()
    with pytest.raises(NotAuthenticatedError):
        keys.authorize(key.encode(), "read")
    assert caplog.text.count("no API key is valid until their file can be used") == 1
    if breakage == "dangling":
        elsewhere.rename(path)
    else:
        path.write_text(text)
        path.chmod(0o600)
    keys.refresh()
    assert keys.authorize(key.encode(), "read") == "reader"


def test_a_file_behind_links_is_followed_as_secrets_are_mounted(
    tmp_path: Path, clock: SteppedClock
) -> None:
    for folder in ("v1", "v2"):
        _, kept = create_key(tmp_path / folder / "keys.json", "kept", ["read"], clock)
    _, revoked = create_key(tmp_path / "v1" / "keys.json", "revoked", ["read"], clock)
    (tmp_path / "data").symlink_to("v1")
    path = tmp_path / "keys.json"
    path.symlink_to("data/keys.json")
    arguments = _parser().parse_args(["--repo", str(tmp_path), "--api-keys", str(path)])
    keys = ApiKeys(Path(_settings(arguments).api_keys_path or ""), clock)
    assert keys.authorize(revoked.encode(), "read") == "revoked"
    (tmp_path / "data.new").symlink_to("v2")
    (tmp_path / "data.new").rename(tmp_path / "data")
    shutil.rmtree(tmp_path / "v1")
    keys.refresh()
    assert keys.authorize(kept.encode(), "read") == "kept"
    with pytest.raises(NotAuthenticatedError):
        keys.authorize(revoked.encode(), "read")


def test_a_file_that_anyone_reads_is_warned_of(
    path: Path, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    create_key(path, "reader", ["read"], clock)
    path.chmod(0o644)
    ApiKeys(path, clock)
    assert "can read" in caplog.text


def test_a_gateway_does_not_start_without_its_file(path: Path, clock: SteppedClock) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ApiKeys(path, clock)


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "key"),
    [
        (b"Bearer abc", None, b"abc"),
        (b"bearer  abc ", b"other", b"abc"),
        (None, b"abc", b"abc"),
        (b"Basic abc", b"abc", b"abc"),
        (b"Basic abc", None, None),
        (b"Bearer", None, None),
        (None, None, None),
    ],
)
def test_both_headers_carry_a_key(
    authorization: bytes | None, x_api_key: bytes | None, key: bytes | None
) -> None:
    assert presented_key(authorization, x_api_key) == key
