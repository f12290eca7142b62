"""Members of coordinated groups, and their coordinator, in one process."""
