"""Diagnostics of a training run: named findings, each a stated rule over the held-out trajectories."""
