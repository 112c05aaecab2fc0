"""Materialization and the online store: stock Feast's Redis store beside evenstore's."""
