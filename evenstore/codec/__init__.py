"""Bytes: entity keys, values, rows and Redis commands; no I/O."""
