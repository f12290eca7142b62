"""Recipes: how a pair is made of a task, as the paper's equations say it. `book` names them all."""
