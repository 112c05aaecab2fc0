"""Figures of a comparison: how often and how far the two sides differ."""
