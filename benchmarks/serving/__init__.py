"""Lookups over HTTP: stock `feast serve` and evenstore's gateway on the same Redis and features."""
