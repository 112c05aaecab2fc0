"""Training datasets, splits and models."""
