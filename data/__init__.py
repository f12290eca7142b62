"""Data of the package: the classroom's small models, questions and example tasks."""
