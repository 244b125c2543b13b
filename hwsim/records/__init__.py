"""What a run leaves behind: one folder of parquet tables, a manifest and a summary."""
