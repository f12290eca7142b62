"""Clients of other projects, each run by the Python of its own environment: `python FILE URL IN_FLIGHT ASKS`.

It prints asks a second. It must import nothing of this project, and times what a user waits for: the call, without imports.
"""
