"""A stranger's Feast repo with string and composite keys; only Feast's own interface is used."""
