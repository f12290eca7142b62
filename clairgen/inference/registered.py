"""Servers of models that come and go while a run goes on: those that announced themselves to a coordinator, or in a folder."""

import json
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

from clairgen.config.endpoint_checks import REGISTERED, checked_server, is_registered
from clairgen.config.role import Role
from clairgen.errors import ConfigError

LOOK_SECONDS: Final = 2.0
"""How often servers are looked for."""
GONE_SECONDS: Final = 15.0
"""After which a server is gone whose file was not touched again."""
_SUFFIX: Final = ".json"
_LONGEST_FILE_BYTES: Final = 10_000

Servers = Callable[[str], AbstractSet[str]]
"""The base URLs that serve a model now."""


def servers_of(name: str, role: Role, coordinated: Servers | None, clock: Callable[[], float]) -> Servers | None:
    """Where the servers of a role are looked for; None for a role whose endpoints are all named.

    Raises ConfigError for servers of a coordinator without one.
    """
    found: list[Servers] = []
    for address in filter(is_registered, role.endpoints):
        if folder := address.removeprefix(REGISTERED).removeprefix(":"):
            found.append(FolderOfServers(Path(folder), clock).urls)
        elif coordinated is None:
            raise ConfigError(
                f"models.{name} is served by those who registered with a coordinator, and there is none; name it with "
                "--coordinator URL, or a folder in which servers register, as registered:FOLDER"
            )
        else:
            found.append(coordinated)
    if not found:
        return None
    return lambda model: {url for servers in found for url in servers(model)}


@dataclass(frozen=True, slots=True)
class _Seen:
    touched: float
    at: float


class FolderOfServers:
    """A folder with a file for each server, which the server touches again and again.

    A file counts as touched when its time has changed: the clocks of machines that share a folder differ.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._seen: Mapping[str, _Seen] = {}

    def urls(self, model: str) -> AbstractSet[str]:
        """The servers of a model; what cannot be read, or is no server's file, is left out."""
        now, seen, found = self._clock(), dict[str, _Seen](), set[str]()
        try:
            files = [path for path in self._folder.iterdir() if path.name.endswith(_SUFFIX)]
        except OSError:
            files = []  # not there yet
        for path in files:
            try:
                status = path.stat()
                if not S_ISREG(status.st_mode):
                    continue  # a pipe would be waited for
                touched = status.st_mtime
                before = self._seen.get(path.name, _Seen(-math.inf, now))
                one = before if before.touched == touched else _Seen(touched, now)
                seen[path.name] = one
                if now - one.at <= GONE_SECONDS and (url := _url_in(path, model)) is not None:
                    found.add(url)
            except OSError:
                continue  # it was removed meanwhile
        self._seen = seen
        return found


def _url_in(path: Path, model: str) -> str | None:
    """The URL in a server's file, if it serves the model."""
    with path.open("rb") as file:
        content = file.read(_LONGEST_FILE_BYTES)
    try:
        server = json.loads(content)
        return checked_server(str(server["url"])) if server["model"] == model else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
