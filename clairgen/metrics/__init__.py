"""Metrics of a pair of answers: how much they differ (Section 3, Table 1 of the paper)."""
