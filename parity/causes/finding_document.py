"""A finding as plain JSON data."""

from __future__ import annotations

from parity.causes.finding import Finding, StoredOrder
from parity.values import to_json

__all__ = ["build_finding_document", "order_document"]


def build_finding_document(finding: Finding) -> dict[str, object]:
    """Return a finding as data that `json` can write; instants are int64 microseconds, UTC."""
    evidence = finding.evidence
    return {
        "cause": finding.cause.value,
        "because": finding.because,
        "command": finding.command,
        "evidence": {
            "offline_value": to_json(evidence.offline_value),
            "online_value": to_json(evidence.online_value),
            "offline_order": order_document(evidence.offline_order),
            "online_order": order_document(evidence.online_order),
            "source_file": evidence.source_file,
            "facts": {name: to_json(value) for name, value in evidence.facts.items()},
        },
    }


def order_document(order: StoredOrder | None) -> dict[str, int | None] | None:
    """Return a row's place in the total order likewise."""
    if order is None:
        return None
    return {
        "event_us": order.event_us,
        "created_us": order.created_us,
        "sequence_us": order.sequence_us,
    }
