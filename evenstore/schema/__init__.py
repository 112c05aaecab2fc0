"""The compiled, frozen description of views and services."""
