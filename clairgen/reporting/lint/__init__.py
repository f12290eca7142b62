"""What is wrong with preference data: a page of findings, each with its count, its meaning and examples."""
