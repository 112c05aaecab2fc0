"""Reads a waiver file, TOML or YAML, strictly: what is misspelt is refused, not passed over.

```toml
[[waiver]]
feature = "customer_activity:spend_30d"
relative = 1e-9             # or absolute = 0.01, or ulp = 4; any one that holds suffices
causes = ["late-arrival"]   # instead of a tolerance, or beside it
reason = "the legacy importer rounds to float32 until March"
owner = "data-platform@example.org"
expires = 2027-03-31
```
"""

from __future__ import annotations

import datetime as dt
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from evenstore.errors import ConfigurationError
from parity.causes.finding import Cause
from parity.waivers.waiver import Tolerance, Waiver

__all__ = ["read_waivers"]

_COMPULSORY = ("feature", "reason", "owner", "expires")
_LIMITS = ("absolute", "relative", "ulp")
_KNOWN = frozenset({*_COMPULSORY, *_LIMITS, "causes"})


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """Read every waiver of a file.

    Raises:
        ConfigurationError: The file cannot be read, or an entry lacks a reason, an owner, an
            expiry date or something to waive, has an unknown key, or names a feature twice.
    """
    entries = _parse(path)
    waivers: dict[tuple[str, str], Waiver] = {}
    for number, entry in enumerate(entries, start=1):
        waiver = _read_waiver(entry, f"{path}: waiver {number}")
        if (waiver.view_name, waiver.feature) in waivers:
            msg = f"{path}: `{waiver.name}` has two waivers"
            raise ConfigurationError(msg, hint="make one of them")
        waivers[waiver.view_name, waiver.feature] = waiver
    return tuple(waivers.values())


def _parse(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"cannot read the waivers of `{path}`: {exc}"
        raise ConfigurationError(msg, hint="name a TOML or YAML file of waivers") from exc
    try:
        is_yaml = path.suffix in {".yaml", ".yml"}
        data = yaml.safe_load(text) if is_yaml else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as exc:
        msg = f"`{path}` is neither TOML nor YAML: {exc}"
        raise ConfigurationError(msg, hint="see docs/guides/parity.md for an example") from exc
    if data is None or data == {}:
        return []
    if (
        not isinstance(data, dict)
        or set(data) != {"waiver"}
        or not isinstance(data["waiver"], list)
    ):
        msg = f"`{path}` is no list of waivers"
        raise ConfigurationError(msg, hint="each entry starts with [[waiver]] (YAML: `waiver:`)")
    return list(data["waiver"])


def _read_waiver(entry: Any, where: str) -> Waiver:
    if not isinstance(entry, dict):
        raise _refused(where, "is no table")
    unknown = sorted(set(entry) - _KNOWN)
    if unknown:
        raise _refused(where, f"unknown key `{unknown[0]}`", f"known: {', '.join(sorted(_KNOWN))}")
    for key in _COMPULSORY:
        if key not in entry:
            hint = "every waiver has feature, reason, owner and expires"
            raise _refused(where, f"`{key}` is missing", hint)
    view_name, feature = _read_feature(entry["feature"], where)
    waiver = Waiver(
        view_name=view_name,
        feature=feature,
        tolerance=_read_tolerance(entry, where),
        causes=_read_causes(entry.get("causes", []), where),
        reason=_read_text(entry, "reason", where),
        owner=_read_text(entry, "owner", where),
        expires=_read_day(entry["expires"], where),
    )
    if not waiver.tolerance.is_declared and not waiver.causes:
        raise _refused(where, "waives nothing", "declare absolute, relative, ulp or causes")
    return waiver


def _read_feature(text: Any, where: str) -> tuple[str, str]:
    parts = text.split(":") if isinstance(text, str) else []
    if len(parts) != 2 or not all(parts) or "*" in text:  # noqa: PLR2004
        hint = "one waiver names one feature as `view:feature`; there are no patterns"
        raise _refused(where, f"feature {text!r} names no feature", hint)
    return parts[0], parts[1]


def _read_tolerance(entry: Mapping[str, Any], where: str) -> Tolerance:
    for key in _LIMITS:
        limit = entry.get(key)
        if limit is None:
            continue
        is_number = isinstance(limit, int if key == "ulp" else int | float)
        if not is_number or isinstance(limit, bool) or not (math.isfinite(limit) and limit > 0):
            kind = "a whole number" if key == "ulp" else "a number"
            raise _refused(where, f"`{key}` is {limit!r}", f"{kind} above 0")
    return Tolerance(entry.get("absolute"), entry.get("relative"), entry.get("ulp"))


def _read_causes(names: Any, where: str) -> frozenset[Cause]:
    if not isinstance(names, list):
        raise _refused(where, f"`causes` is {names!r}", "a list of causes")
    causes = {cause.value: cause for cause in Cause}
    for name in names:
        if name not in causes:
            raise _refused(where, f"no cause is named {name!r}", f"known: {', '.join(causes)}")
    return frozenset(causes[name] for name in names)


def _read_text(entry: Mapping[str, Any], key: str, where: str) -> str:
    text = entry[key]
    if not isinstance(text, str) or not text.strip():
        raise _refused(where, f"`{key}` is empty", "somebody will ask")
    return text.strip()


def _read_day(day: Any, where: str) -> dt.date:
    if isinstance(day, str):
        try:
            day = dt.date.fromisoformat(day)
        except ValueError:
            day = None
    if not isinstance(day, dt.date) or isinstance(day, dt.datetime):
        raise _refused(where, "`expires` is no date", "a day like 2027-03-31")
    return day


def _refused(where: str, problem: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError(f"{where}: {problem}", hint=hint or "see docs/guides/parity.md")
