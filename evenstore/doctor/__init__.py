"""Looks at a feature repo, its Redis and its sources, and says what is wrong; writes nothing."""
