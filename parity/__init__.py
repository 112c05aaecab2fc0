"""The comparison of both stores, with a verdict."""
