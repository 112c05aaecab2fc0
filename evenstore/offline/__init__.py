"""The offline store: Parquet through DuckDB."""
