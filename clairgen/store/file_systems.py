"""Which file system a folder is on, and what of a run's database is safe there.

SQLite's write-ahead log needs memory that all processes of a database share, which is a mapped file and so works on one machine
only. On a file system that several machines mount, a run is therefore used by one process at a time, which keeps that memory to
itself (SQLite's VFS `unix-excl`), and between processes its database has a rollback journal, which needs none. What remains is
that locks on byte ranges reach all machines and that what was synced is kept; where that is not so, a run is refused.
"""

import re
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from clairgen.errors import RunError

MOUNTS: Final = Path("/proc/mounts")
_KNOWN_SECONDS: Final = 5
_SHARED: Final = frozenset(
    (
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "ceph",
            "lustre",
            "gpfs",
            "beegfs",
            "fhgfs",
            "wekafs",
            "panfs",
            "orangefs",
        ),
        *("pvfs2", "glusterfs", "ocfs2", "gfs2", "afs", "9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "fuse"),
    )
)
"""File systems that other machines may have mounted too, besides those in user space."""
_LOCAL_IN_USER_SPACE: Final = frozenset(f"fuse.{name}" for name in ("fuse-overlayfs", "gocryptfs", "encfs", "ntfs-3g"))
_OBJECT_SOURCES: Final = frozenset(
    (
        *("s3fs", "gcsfuse", "goofys", "geesefs", "rclone", "mount-s3", "mountpoint-s3", "blobfuse", "blobfuse2"),
        *("ossfs", "cosfs", "obsfs", "davfs"),
    )
)
"""What such a mount is called where its kind is only `fuse`."""
_OBJECT_STORES: Final = frozenset({"davfs", *(f"fuse.{name}" for name in _OBJECT_SOURCES)})
_LOCAL_LOCKS: Final = {
    "lustre": {"localflock", "noflock"},
    "nfs": {"nolock", "local_lock=all", "local_lock=posix"},
    "nfs4": {"nolock", "local_lock=all", "local_lock=posix"},
    "cifs": {"nobrl", "nolock"},
    "smb3": {"nobrl", "nolock"},
}
"""Options of mounts whose locks no other machine sees."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: what is mounted, of which kind, and with which options."""

    source: str
    kind: str
    options: frozenset[str]

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use the same files, as far as its kind tells."""
        if self.kind.startswith("fuse."):
            return self.kind not in _LOCAL_IN_USER_SPACE
        return self.kind in _SHARED | _OBJECT_STORES

    @property
    def holds_objects(self) -> bool:
        """Whether it shows objects of a store as files, which are uploaded as a whole and cannot be locked."""
        return self.kind in _OBJECT_STORES or (self.kind == "fuse" and self.source in _OBJECT_SOURCES)

    @property
    def local_lock(self) -> str | None:
        """The option by which its locks hold on this machine only; None without one."""
        return min(self.options & _LOCAL_LOCKS.get(self.kind, set()), default=None)


def mount_of(path: Path, mounts: Path | None = None) -> Mount | None:
    """The file system that a file of a folder is on; None where that is not said, as only Linux does, in `mounts` (`MOUNTS`)."""
    return _mount_of(path.parent, mounts or MOUNTS, int(time.monotonic() / _KNOWN_SECONDS))


@lru_cache(maxsize=1024)
def _mount_of(folder: Path, mounts: Path, _moment: int) -> Mount | None:
    """Looked up once in a while, since a service opens runs all the time and machines have hundreds of mounts."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place, longest, found = f"{folder.resolve()}/", -1, None
    for line in lines:
        if len(fields := line.split(" ")) > 3:
            point = f"{_unescaped(fields[1]).rstrip('/')}/"
            if len(point) >= longest and place.startswith(point):  # of two on one folder the later one is seen
                longest, found = len(point), Mount(fields[0], fields[2], frozenset(fields[3].split(",")))
    return found


def is_shared(path: Path, mounts: Path | None = None) -> bool:
    """Whether one process at a time uses a database at `path`, since other machines may have its file system mounted."""
    mount = mount_of(path, mounts)
    return mount is not None and mount.is_shared


def refuse_unsafe_file_system(path: Path, mounts: Path | None = None) -> None:
    """Raise RunError where not even one process at a time can write a run safely. `path` is that of its database."""
    mount = mount_of(path, mounts)
    if mount is None or not mount.is_shared:
        return
    if mount.holds_objects:
        raise RunError(
            f"{path.parent} is on an object store that is mounted as files ({mount.source}, {mount.kind}), where the run's "
            "database could be damaged; choose a folder on a local disk for --run"
        )
    if mount.local_lock is not None:
        raise RunError(
            f"{path.parent} is on a network file system ({mount.kind}) that is mounted with {mount.local_lock}, so that locks do "
            "not reach other machines and two of them could write the run; choose a folder on a local disk for --run"
        )


def refuse_network_file_system(path: Path, mounts: Path | None = None) -> None:
    """Raise RunError for a database that several processes write side by side, on anything but a local disk."""
    mount = mount_of(path, mounts)
    if mount is not None and mount.is_shared:
        raise RunError(
            f"{path.parent} is on a network file system ({mount.kind}), where {path.name}, which several processes write, "
            "could be damaged; choose a folder on a local disk"
        )


def _unescaped(mount_point: str) -> str:
    r"""A mount point as /proc/mounts writes it, its octal escapes (\040 for a space) undone."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), mount_point)
