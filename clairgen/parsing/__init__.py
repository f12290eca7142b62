"""Parsers of model output: a reviser's solution, a judge's verdict."""
