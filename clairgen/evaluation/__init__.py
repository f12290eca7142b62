"""Evaluation: models answer questions whose answers can be scored, over the durable completions of a run directory."""
