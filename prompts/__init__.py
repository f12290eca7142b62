"""Prompt templates, data of the package; see `clairgen.templates` for how they are read and filled."""
