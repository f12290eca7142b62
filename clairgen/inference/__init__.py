"""The network: an OpenAI-compatible client, its pace, its retries, and the pool of a role's endpoints."""
