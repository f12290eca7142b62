"""Reports on training runs: trajectories of held-out pairs (Figure 4 of the paper) and diagnostics."""
