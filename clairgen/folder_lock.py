"""The lock on a folder that one command at a time writes into.

It is on the folder itself and on the file `lock` in it, which says who holds it and may be deleted.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clairgen.errors import InUseError, RunError

LOCK_FILE = "lock"


@contextmanager
def locked_folder(path: Path) -> Iterator[tuple[int, ...]]:
    """Hold the lock of a folder that exists, which the kernel releases even after `kill -9`; gives its file descriptors.

    A child process that gets the descriptors (`pass_fds`) holds the lock as well. Raises InUseError if another process holds it,
    and RunError if the folder cannot be written or locked.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, folder)
            file = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, file)
        except OSError as error:
            raise RunError(f"the folder {path} cannot be written: {error.strerror}; check its permissions") from error
        for handle in (folder, file):
            _acquire(handle, file, path)
        # On a full disk the lock holds all the same; it only does not say who has it.
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()} {os.uname().nodename}\n".encode(), 0)
        yield folder, file


def _acquire(handle: int, file: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # a server of SMB says that it is not permitted
        raise InUseError(
            f"{path} is in use by {_holder(file)}; wait until it ends, or stop it with Ctrl-C there"
        ) from error
    except OSError as error:
        if handle != file:
            return  # NFS locks no folder, and the file in it holds as well
        raise RunError(
            f"the folder {path} cannot be locked: {error.strerror}; choose a folder on a local disk"
        ) from error


def _holder(file: int) -> str:
    try:
        process, _, host = os.pread(file, 200, 0).decode(errors="replace").strip().partition(" ")
    except OSError:  # which SMB locks for readers, too
        process, host = "", ""
    elsewhere = f" on {host}" if host and host != os.uname().nodename else ""
    return f"process {process or 'unknown'}{elsewhere}"


def check_unused(path: Path) -> None:
    """Raise InUseError if another process holds the lock of a folder, which need not be there."""
    if path.is_dir():
        with locked_folder(path):
            pass
