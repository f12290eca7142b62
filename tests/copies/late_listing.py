"""A storage in memory whose listings are late: `late://`."""

import time
from typing import Any, Final

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

LATE_SECONDS: Final = 1.0


class LateListing(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Objects can be read at once, and are listed when they are a second old; deleted ones are listed a second longer."""

    protocol = "late"
    store: dict[str, Any] = {}  # noqa: RUF012 - as the class above keeps it, for all instances
    pseudo_dirs = [""]  # noqa: RUF012 - as above
    _written: dict[str, float] = {}  # noqa: RUF012 - as above
    _deleted: dict[str, float] = {}  # noqa: RUF012 - as above

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:  # noqa: ANN401 - as the class above
        """Write an object."""
        super().pipe_file(path, value, **options)
        self._written[self._strip_protocol(path)] = time.monotonic()

    def rm_file(self, path: str) -> None:
        """Delete an object."""
        super().rm_file(path)
        self._deleted[self._strip_protocol(path)] = time.monotonic()

    def find(self, path: str, **options: Any) -> list[str]:  # noqa: ANN401 - as the class above
        """The objects below a path that a listing has by now."""
        since = time.monotonic() - LATE_SECONDS
        there = [name for name in super().find(path, **options) if self._written.get(name, 0.0) < since]
        folder = self._strip_protocol(path)
        gone = [name for name, at in self._deleted.items() if at > since and name.startswith(f"{folder}/")]
        return sorted({*there, *gone})


fsspec.register_implementation("late", LateListing, clobber=True)
