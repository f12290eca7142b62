"""The exit codes of the command line, and the one place where an error becomes one."""

from typing import Final

from clairgen.errors import ClairgenError, DrainedError, EndpointsError

FAILED: Final = 1
"""Done, but some tasks failed."""
USER: Final = 2
"""Something the user has to fix, or the budget is reached."""
ENDPOINTS: Final = 3
"""The endpoints cannot serve."""
DRAINED: Final = 130
"""Stopped by Ctrl-C or SIGTERM."""


def exit_code(error: ClairgenError) -> int:
    """The exit code that an error ends the command with."""
    if isinstance(error, EndpointsError):
        return ENDPOINTS
    return DRAINED if isinstance(error, DrainedError) else USER
