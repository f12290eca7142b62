"""How many files and connections this process may have open, which bounds how many requests can be in flight."""

import contextlib
import resource
from pathlib import Path
from typing import Final

_WANTED: Final = 65_536  # more than any run needs; millions slow some child processes down
_RESERVED: Final = 32  # for what is opened while requests are in flight: the database, name look-ups, certificates


def raise_open_file_limit() -> None:
    """Raise the soft limit of open files to the hard limit, as every process may; many systems begin with 256 or 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):  # macOS has a further limit, which it does not name
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def connections_left() -> int:
    """How many connections can still be opened, at least 1."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _WANTED
    return max(1, soft - sum(1 for _ in Path("/dev/fd").iterdir()) - _RESERVED)
