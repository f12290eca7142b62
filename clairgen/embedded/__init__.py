"""A real inference engine behind its own OpenAI-compatible HTTP API, as a child process; no torch."""
