"""Measurements of evenstore beside stock Feast and beside hand-written code."""
