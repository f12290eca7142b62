"""Anchored training on preference pairs: the paper's objectives on TRL (arXiv 2408.06266, sections 4 and 5)."""
