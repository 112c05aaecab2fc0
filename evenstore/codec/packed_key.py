"""Redis keys of the packed layout: short, readable at the front, one per entity.

```text
size  type   field          note
n     utf-8  project
1            `@`            no project's name holds it
4     bytes  key set        of the names and types of the join keys (`key_set_id`)
      per join key, in name order:
4     u32    length         texts only, and not before the last join key
n     bytes  value          utf-8, raw, <i, <q, <q: as in Feast's own key
```

An entityless view has the one key without values. The declared type of the join key decides the
bytes, as in Feast's format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.dtypes import TEXT_DTYPES
from evenstore.schema.model import Field

__all__ = ["PackedKeyEncoder", "key_set_id", "project_prefix"]


class PackedKeyEncoder(EntityKeyEncoder):
    """Makes keys of the packed layout for the entities of one view.

    Args:
        join_keys: The view's join keys in any order; none for an entityless view.
        project: The Feast project, which begins every key.
    """

    def __init__(self, join_keys: Sequence[Field], project: str) -> None:
        super().__init__(join_keys, project)
        self.prefix = project_prefix(project) + key_set_id(join_keys)
        last = len(self.parts) - 1
        self.parts = tuple(
            part.bare(has_length=part.dtype in TEXT_DTYPES and i < last)
            for i, part in enumerate(self.parts)
        )
        self.suffix = b""


def project_prefix(project: str) -> bytes:
    """Return what all keys of a project begin with."""
    return project.encode("utf-8") + b"@"


def key_set_id(join_keys: Sequence[Field]) -> bytes:
    """Return four bytes for a set of join keys: those of a hash of their names and types."""
    text = "\n".join(sorted(f"{key.name} {key.dtype.value}" for key in join_keys))
    return hashlib.sha256(text.encode()).digest()[:4]
