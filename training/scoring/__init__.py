"""Scores: in batch, and the proof that an application gets the same ones."""
