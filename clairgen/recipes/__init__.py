"""Recipes: how a pair is made of a task, as in the paper's equations. `registry` has them all."""
