"""What a run came to and what its pairs look like: numbers, tables, one pair in full."""
