"""The journal of a compaction: from new files that are complete to old ones that are gone.

```text
1. the new files are written under hidden names
2. the journal names them, and the old ones            <- from here on it is carried through
3. the new files get their names                        readers see both: equal rows are no tie
4. the old files are removed
5. the journal is removed
```

A run that was killed before 2 has changed nothing; after it, the next run does what is left.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from evenstore.errors import OfflineStoreError
from evenstore.schema.files import FileIdentity
from evenstore.schema.footer import identify_files
from evenstore.whole_file import whole_file

__all__ = [
    "Journal",
    "NewFile",
    "publish",
    "read_journal",
    "remove_old",
    "sync_folder",
    "write_journal",
]

_VERSION = 1
# Not listed as data: it begins with an underscore.
_NAME = "_compaction.json"
_MEND_HINT = (
    "both the old and the new files may be there, which is harmless: equal rows count once; "
    "remove the journal when the folder is in order"
)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A complete file and the name that it gets."""

    hidden_path: str
    path: str


@dataclass(frozen=True, slots=True)
class Journal:
    """What a compaction of one folder has decided.

    Attributes:
        new: The files that hold all rows of the old ones.
        old: The files that are replaced.
    """

    new: tuple[NewFile, ...]
    old: tuple[FileIdentity, ...]


def read_journal(folder: Path) -> Journal | None:
    """Read the journal that a killed run left, None where there is none.

    Raises:
        OfflineStoreError: It cannot be read.
    """
    path = folder / _NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version, new, old = document["version"], document["new"], document["old"]
        if version != _VERSION:
            raise ValueError(version)  # noqa: TRY301 - one message for all of them.
        return Journal(
            tuple(NewFile(str(folder / hidden), str(folder / name)) for hidden, name in new),
            tuple(FileIdentity(str(folder / name), *rest) for name, *rest in old),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        msg = f"`{path}` cannot be read: {exc}"
        raise OfflineStoreError(msg, hint=_MEND_HINT) from exc


def write_journal(folder: Path, journal: Journal) -> None:
    """Write the journal; the files that it names must be complete and on disk."""
    new = [(_inside(folder, file.hidden_path), _inside(folder, file.path)) for file in journal.new]
    old = [
        (_inside(folder, file.path), file.size_bytes, file.modified_ns, file.inode)
        for file in journal.old
    ]
    document = {"version": _VERSION, "new": new, "old": old}
    with whole_file(folder / _NAME) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def publish(journal: Journal) -> None:
    """Give the new files their names, where they have not got them yet.

    Raises:
        OfflineStoreError: A new file is gone; nothing is removed.
    """
    for file in journal.new:
        if Path(file.hidden_path).exists():
            Path(file.hidden_path).replace(file.path)
        elif not Path(file.path).exists():
            msg = f"the compacted file `{file.path}` is gone"
            raise OfflineStoreError(msg, hint=_MEND_HINT)
    for folder in {Path(file.path).parent for file in journal.new}:
        sync_folder(folder)


def remove_old(folder: Path, journal: Journal) -> None:
    """Remove the replaced files, and then the journal."""
    for identity in journal.old:
        path = Path(identity.path)
        # Who put another file in its place has its own reasons.
        if path.exists() and identify_files([identity.path], where="compaction") == (identity,):
            path.unlink()
    (folder / _NAME).unlink()


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _inside(folder: Path, path: str) -> str:
    # A folder that was moved meanwhile has another path.
    return str(Path(path).relative_to(folder))
