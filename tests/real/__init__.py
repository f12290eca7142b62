"""Checks against the servers that users have; run by hand, since they install gigabytes: `make vllm`."""
