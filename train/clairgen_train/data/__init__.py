"""From the rows of a data set to token ids on disk."""
