"""The pipeline: chains of asks over the tasks of a run, and what is done with the pairs that come out."""
