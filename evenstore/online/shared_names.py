"""Names that would share a place within an entity: refused before one overwrites the other."""

from __future__ import annotations

from evenstore.codec.feast_row import FeastRowLayout
from evenstore.codec.packed_key import key_set_id
from evenstore.codec.packed_row import view_id
from evenstore.errors import CodecError
from evenstore.schema.model import FeatureViewSchema, Field

__all__ = ["SharedNames"]


class SharedNames:
    """What the views of one project that were looked at so far are called within an entity."""

    def __init__(self) -> None:
        self._taken: dict[tuple[frozenset[Field], bytes], str] = {}
        self._owners: dict[str, str] = {}
        self._key_sets: dict[bytes, frozenset[Field]] = {}

    def check(self, view: FeatureViewSchema, declared_name: str) -> None:
        """Take the names of a view and its features.

        Args:
            view: The view under the name of its rows, which may have a version in it.
            declared_name: The name that it is declared by.

        Raises:
            CodecError: A view on the same join keys has one of them: a hash's field names have 32
                bits, and so has a view's name in a packed string. Or other join keys have the same
                32 bits in a packed key.
        """
        keys = frozenset(view.join_keys)
        if self._key_sets.setdefault(key_set_id(view.join_keys), keys) != keys:
            msg = f"the join keys of `{view.name}` share four bytes with those of another view"
            raise CodecError(msg, hint="rename one of the join keys")
        owner = self._owners.setdefault(view.name, declared_name)
        if owner != declared_name:
            msg = f"rows of `{owner}` and of `{declared_name}` would both go by `{view.name}`"
            raise CodecError(msg, hint="rename one of them: the other's version has its name")
        other = self._take(view, view_id(view.name), view.name)
        if other != view.name:
            msg = f"views `{other}` and `{view.name}` share the four bytes that name them"
            raise CodecError(msg, hint="rename one of them")
        for feature, stored in FeastRowLayout(view).feature_fields.items():
            name = f"{view.name}:{feature}"
            other = self._take(view, stored, name)
            if other != name:
                msg = f"features `{other}` and `{name}` share the field {stored.hex()}"
                raise CodecError(msg, hint="rename one of them: Feast's field names have 32 bits")

    def _take(self, view: FeatureViewSchema, stored: bytes, name: str) -> str:
        return self._taken.setdefault((frozenset(view.join_keys), stored), name)
