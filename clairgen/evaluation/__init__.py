"""Evaluation of models: items are scored by evaluators over durable completions, and every figure has an interval."""
