"""The configuration of a run: its models, its YAML file, and what tokens cost."""
