"""Rounds of generating and training: each round's model is the target of the next."""
