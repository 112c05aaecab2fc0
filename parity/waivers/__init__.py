"""Declared exceptions from exact equality: per feature, with reason, owner and expiry date."""
