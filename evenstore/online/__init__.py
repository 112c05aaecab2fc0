"""The online store: Redis."""
