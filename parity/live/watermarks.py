"""Up to where each view is loaded, as the gateway says, and what follows for a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evenstore.client.http import FeatureClient
from evenstore.schema.request import FeatureRequest
from parity.compare import CellColumn

__all__ = ["event_columns", "read_watermarks", "seen_until"]


def read_watermarks(client: FeatureClient, request: FeatureRequest) -> dict[str, int | None]:
    """Ask the gateway for the watermark of each view that a request reads.

    Returns:
        By the name the view is asked for by; None where no run is recorded.

    Raises:
        GatewayError: The gateway failed.
    """
    by_view = {
        name: client.freshness(name).watermark_us
        for name in dict.fromkeys(read.view.name for read in request.reads)
    }
    return {read.output_name: by_view[read.view.name] for read in request.reads}


def event_columns(
    request: FeatureRequest, columns: Sequence[CellColumn]
) -> dict[str, Sequence[int | None]]:
    """Return the event timestamps of each view's rows, one per entity row.

    A view whose features only on-demand views see has none: its rows do not show.
    """
    found: dict[str, Sequence[int | None]] = {}
    for column, cells in zip(request.columns, columns, strict=True):
        if not column.is_on_demand:
            found.setdefault(column.view_name, cells.event_us)
    return found


def seen_until(
    watermarks: Mapping[str, int | None],
    online_us: Mapping[str, Sequence[int | None]],
    *,
    n_rows: int,
) -> dict[str, list[int]]:
    """Decide up to where the offline store is looked at for each view and entity row.

    That is the watermark: a later row is due with the next run. Where online has a later row
    already (it was pushed, or a run is under way) it is that row's event timestamp. A view that was
    never materialized is looked at as a whole, so that all of it is missing online.

    Args:
        watermarks: Per view, None where no run is recorded.
        online_us: Per view, the event timestamps of online's rows.
        n_rows: Entity rows.
    """
    until: dict[str, list[int]] = {}
    for name, watermark_us in watermarks.items():
        if watermark_us is None:
            continue
        served = online_us.get(name, [None] * n_rows)
        until[name] = [
            watermark_us if event_us is None else max(watermark_us, event_us) for event_us in served
        ]
    return until
