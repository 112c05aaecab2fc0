"""Live mode: the running gateway against the offline store."""
