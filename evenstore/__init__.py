"""evenstore: Feast definitions, Parquet and Redis, and the proof that both sides agree."""
