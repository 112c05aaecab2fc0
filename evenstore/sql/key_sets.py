"""Sets of Redis keys, and which of them are in one and not in the other: what full parity goes by.

Keys are compared as bytes, all of them; what does not fit in memory DuckDB spills.
"""

from __future__ import annotations

__all__ = ["KEY_BATCH", "build_add_keys_sql", "build_empty_set_sql", "only_online_sql"]

KEY_BATCH = "key_batch"
"""The relation that a batch of keys is registered as: one column, `key`."""

_OFFLINE = "offline_keys"
_ONLINE = "online_keys"


def build_empty_set_sql(*, is_online: bool) -> str:
    """Build the statement that makes a set without keys."""
    return f"create table {_table(is_online=is_online)} (key blob)"


def build_add_keys_sql(*, is_online: bool) -> str:
    """Build the statement that adds a batch to a set; a key may come more than once."""
    return f"insert into {_table(is_online=is_online)}\nselect key from {KEY_BATCH}"


def only_online_sql() -> str:
    """Build the query of the keys that are online and not offline.

    Shapes:
        out: distinct rows x (`key`); no order.
    """
    return f"select distinct key\nfrom {_ONLINE}\nanti join {_OFFLINE} using (key)"


def _table(*, is_online: bool) -> str:
    return _ONLINE if is_online else _OFFLINE
