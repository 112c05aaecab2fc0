"""Runs the feature repo's versioned SQL."""
