"""From a data set's rows to token ids on disk."""
