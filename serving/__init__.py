"""The gateway: online lookups over HTTP."""
