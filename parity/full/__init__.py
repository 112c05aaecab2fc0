"""Full parity: every entity of a view, compared in both directions without a gateway."""
