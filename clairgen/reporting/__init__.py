"""Reports on a run: numbers, tables, and single pairs in full."""
