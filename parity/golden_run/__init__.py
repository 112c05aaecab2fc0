"""A run of a golden set: a world of its own, stepped through the set's instants."""
