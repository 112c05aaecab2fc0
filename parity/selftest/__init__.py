"""Fault injection: whether the comparison finds what is wrong, and says rightly why."""
