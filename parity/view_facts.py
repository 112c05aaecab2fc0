"""What a run found out about a view as a whole, beside its cells."""

from __future__ import annotations

from dataclasses import dataclass

from parity.statistics.instants import InstantStatistics

__all__ = ["ViewFacts", "format_span"]

_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000))


@dataclass(frozen=True, slots=True)
class ViewFacts:
    """Facts about one view; None where a mode cannot know.

    Attributes:
        view_name: The view, by the name it was asked for by.
        instants: Event timestamps of both sides.
        ttl_us: The view's ttl; None for values that never expire.
        watermark_us: Every source row up to this event timestamp was loaded by the last run.
        lag_us: How long ago that is, at the instant compared.
        promise_us: How far the view may lag by its own `freshness_promise`.
        n_entities_beyond_watermark: Entities with a source row after the watermark: the next run
            loads it, and until then it is no difference.
        n_leaked: Entity rows whose newest row, which training on `latest_truth` would take, was not
            yet known at the instant compared.
        schema_skew: Where the source's types are not the declared ones, one sentence each.
    """

    view_name: str
    instants: InstantStatistics | None = None
    ttl_us: int | None = None
    watermark_us: int | None = None
    lag_us: int | None = None
    promise_us: int | None = None
    n_entities_beyond_watermark: int | None = None
    n_leaked: int | None = None
    schema_skew: tuple[str, ...] = ()

    @property
    def keeps_promise(self) -> bool:
        """Tell whether the view lags by no more than it promises; also where nothing is known."""
        if self.promise_us is None:
            return True
        return self.lag_us is not None and self.lag_us <= self.promise_us


def format_span(span_us: int | None) -> str:
    """Say a span in the two largest of its units: 1d 12h, 4m 10s, 0.25s."""
    if span_us is None:
        return "unknown"
    sign, rest_us = ("-", -span_us) if span_us < 0 else ("", span_us)
    if rest_us < 1_000_000:  # noqa: PLR2004
        return f"{sign}{rest_us / 1_000_000:g}s"
    parts = []
    for unit, unit_us in _UNITS:
        n_units, rest_us = divmod(rest_us, unit_us)
        if n_units:
            parts.append(f"{n_units}{unit}")
    return sign + " ".join(parts[:2])
