"""The clients of the gateway: the same calls, blocking and asynchronous; import them from here."""

from __future__ import annotations

from evenstore.client.asynchronous import AsyncFeatureClient
from evenstore.client.blocking import FeatureClient
from evenstore.client.retries import RetryPolicy

__all__ = ["AsyncFeatureClient", "FeatureClient", "RetryPolicy"]
