"""How good a model is: splits by time, metrics, segments, importance."""
