"""Pairs as Hugging Face data sets: Parquet files with a card, ready for `datasets.load_dataset` and for the Hub."""
