"""What differing values do to a model: scores that move, decisions that flip."""
