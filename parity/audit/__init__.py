"""Audits a Feast repo that evenstore is not part of; changes nothing in it."""
