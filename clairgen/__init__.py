"""clairgen: preference pairs that differ in quality and little else."""
