"""Requests to models: the OpenAI format, transports, and a role's pool of endpoints with its limits and retries."""
