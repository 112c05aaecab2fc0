"""Materialization: offline to online."""
