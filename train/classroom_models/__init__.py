"""Trains the classroom's student and teacher: `PYTHONPATH=train python -m classroom_models` from the repository's root."""
