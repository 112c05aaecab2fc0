"""The typed HTTP client of the gateway."""
