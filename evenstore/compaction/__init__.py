"""Compaction: small or unsorted files of a source rewritten into sorted ones."""
