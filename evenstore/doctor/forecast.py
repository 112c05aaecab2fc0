"""What views take in Redis, and what those that are not loaded yet will: arithmetic only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evenstore.doctor.entity_layout import StoredEntity
from evenstore.doctor.entity_sample import EntitySample
from evenstore.doctor.finding import Finding, Severity, fine
from evenstore.doctor.redis_checks import show_bytes
from evenstore.doctor.redis_facts import HashLimits
from evenstore.doctor.row_size import LOOSE_FACTOR, estimate_row_bytes
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = ["ViewForecast", "check_encoding", "check_forecast", "check_layout", "forecast_views"]

_TIGHT = 0.8
_LOOSE = f"an entity's hash that is not compact takes about {LOOSE_FACTOR} times the memory"


@dataclass(frozen=True, slots=True)
class ViewForecast:
    """What one view takes in Redis, or will.

    Attributes:
        view: Its name.
        n_entities: Stored ones, or those that a first load would write; None where not known.
        bytes_per_entity: Measured on a sample of a loaded view, else estimated from its types.
        is_loaded: Whether rows of it were found.
    """

    view: str
    n_entities: int | None
    bytes_per_entity: int
    is_loaded: bool

    @property
    def n_bytes(self) -> int | None:
        """All of the view's bytes, None where the number of entities is not known."""
        return None if self.n_entities is None else self.n_entities * self.bytes_per_entity

    @property
    def needed_bytes(self) -> int:
        """What is still to come, as far as it is known."""
        return 0 if self.is_loaded else self.n_bytes or 0


def forecast_views(
    views: Sequence[FeatureViewSchema],
    project: str,
    layout: Layout,
    sample: EntitySample,
    *,
    n_offline: Mapping[str, int | None],
    limits: HashLimits | None,
) -> list[ViewForecast]:
    """Forecast the views of a project.

    Entities that several views share are divided among them by the length of what they store; of
    those that are not loaded yet only the first one on its join keys pays for the key.

    Args:
        views: The views.
        project: The Feast project, which is part of every key.
        layout: In which rows are written.
        sample: Of the stored entities.
        n_offline: By view, entities counted offline; looked at only where no row is stored.
        limits: Of Redis' compact hashes, None for its defaults.
    """
    stored = {view.name: sample.of_view(view.name) for view in views}
    with_keys = {view.join_keys for view in views if stored[view.name]}
    forecasts = []
    for view in views:
        if stored[view.name]:
            forecasts.append(_measure(view.name, stored[view.name], sample))
            continue
        n_bytes = estimate_row_bytes(
            view, project, layout, limits=limits, shares_key=view.join_keys in with_keys
        )
        n_entities = n_offline.get(view.name)
        if n_entities:
            with_keys.add(view.join_keys)
        forecasts.append(ViewForecast(view.name, n_entities, n_bytes, is_loaded=False))
    return forecasts


def _measure(name: str, stored: Sequence[StoredEntity], sample: EntitySample) -> ViewForecast:
    shares = (
        entity.n_bytes * entity.view_bytes[name] / sum(entity.view_bytes.values())
        for entity in stored
    )
    n_entities = round(sample.n_entities * len(stored) / len(sample.entities))
    return ViewForecast(name, n_entities, round(sum(shares) / len(stored)), is_loaded=True)


def check_forecast(forecasts: Sequence[ViewForecast], headroom_bytes: int | None) -> list[Finding]:
    """Judge what is still to be loaded against what Redis may still take.

    Args:
        forecasts: Of all views.
        headroom_bytes: None where Redis does not tell.
    """
    found = [_describe(forecast) for forecast in forecasts]
    needed = sum(forecast.needed_bytes for forecast in forecasts)
    if not needed:
        return found
    views = ", ".join(forecast.view for forecast in forecasts if forecast.needed_bytes)
    what = f"to load {views} Redis needs about {show_bytes(needed)} more"
    if headroom_bytes is None:
        unknown = Finding(
            "memory-forecast",
            Severity.INFO,
            f"{what}; how much it has is not known",
            "whether a full load fits is not known",
            "allow INFO (`ACL SETUSER <user> +info`), or set `maxmemory`",
        )
        return [*found, unknown]
    what += f", and has {show_bytes(headroom_bytes)}"
    if needed <= _TIGHT * headroom_bytes:
        return [*found, fine("memory-forecast", what)]
    is_short = needed > headroom_bytes
    short = Finding(
        "memory-forecast",
        Severity.ERROR if is_short else Severity.WARNING,
        what,
        "the load "
        + ("will be" if is_short else "may be")
        + " refused before its end, or evicts rows; what was written until then stays",
        "give Redis more memory, shorten the ttl so that fewer entities are loaded, or declare "
        "views that nobody reads with `online=False`",
    )
    return [*found, short]


def _describe(forecast: ViewForecast) -> Finding:
    each = f"{forecast.bytes_per_entity:,} bytes each"
    how = "measured" if forecast.is_loaded else "estimated from its types"
    if forecast.n_bytes is None or forecast.n_entities is None:
        return Finding(
            "memory-forecast",
            Severity.INFO,
            f"{forecast.view}: not loaded yet, {each}, {how}; its entities could not be counted",
            "whether a full load fits is not known",
            "make the source readable, or allow more time (`--count-seconds`)",
        )
    state = "" if forecast.is_loaded else "not loaded yet, about "
    entities = f"{forecast.n_entities:,} entities"
    total = show_bytes(forecast.n_bytes)
    return fine("memory-forecast", f"{forecast.view}: {state}{entities}, {each}, {how}: {total}")


def check_layout(sample: EntitySample, layout: Layout) -> Finding:
    """Judge whether the project's entities lie in the layout that is read.

    Args:
        sample: Of the stored entities.
        layout: In which rows are read and written.
    """
    if not sample.n_other_entities:
        return fine("row-layout", f"{layout.value}; about {sample.n_entities:,} entities")
    (other,) = set(Layout) - {layout}
    return Finding(
        "row-layout",
        Severity.WARNING,
        f"about {sample.n_other_entities:,} entities lie in the layout `{other.value}`, while "
        f"`{layout.value}` is read and written",
        "these rows take memory and are not found; pushed rows among them exist nowhere else",
        f"`layout: {other.value}` in the online store's settings to read them on; else load "
        "everything in the layout chosen, then remove them",
    )


def check_encoding(
    sample: EntitySample, views: Iterable[FeatureViewSchema], limits: HashLimits | None
) -> Finding:
    """Judge whether Redis keeps entities' hashes in their compact form.

    Args:
        sample: Of the stored entities.
        views: Whose fields one hash may hold together.
        limits: None where CONFIG GET is refused.
    """
    loose = [entity for entity in sample.entities if not entity.is_compact]
    told = (
        f"values up to {limits.value_bytes:,} bytes, up to {limits.entries:,} fields"
        if limits
        else "the limits are not known"
    )
    keys, n_declared = _most_fields(views)
    if limits is not None and n_declared > limits.entries:
        return Finding(
            "hash-encoding",
            Severity.WARNING,
            f"the views on {keys} have {n_declared:,} fields together ({told})",
            _LOOSE,
            f"`CONFIG SET hash-max-ziplist-entries {n_declared}`",
        )
    if not loose:
        n_seen = len(sample.entities)
        seen = f"all of {n_seen:,} sampled hashes are compact" if n_seen else "none is stored yet"
        return fine("hash-encoding", f"{told}; {seen}")
    longest = max(entity.longest_bytes for entity in loose)
    n_fields = max(entity.n_fields for entity in loose)
    # Redis 6.2 knows the older name only, later ones know both.
    remedy = f"`CONFIG SET hash-max-ziplist-value {longest}`"
    if limits is None or n_fields > limits.entries:
        remedy += f" and `CONFIG SET hash-max-ziplist-entries {n_fields}`"
    return Finding(
        "hash-encoding",
        Severity.WARNING,
        f"{len(loose):,} of {len(sample.entities):,} sampled hashes are not compact ({told}; the "
        f"longest part has {longest:,} bytes, the largest hash {n_fields:,} fields)",
        _LOOSE,
        f"{remedy}, then write the rows anew; compact hashes cost more CPU the longer they are",
    )


def _most_fields(views: Iterable[FeatureViewSchema]) -> tuple[str, int]:
    """Find the join keys whose views have the most fields together: they share one hash."""
    counts: Counter[str] = Counter()
    for view in views:
        keys = ", ".join(sorted(key.name for key in view.join_keys)) or "no entity"
        counts[keys] += len(view.features) + 2
    return max(counts.items(), key=lambda pair: pair[1], default=("no entity", 0))
