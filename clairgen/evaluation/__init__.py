"""Evaluation: models on questions and against each other, and judges on labelled pairs."""
