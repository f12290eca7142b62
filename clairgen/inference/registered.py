"""Servers of models that come and go while a run goes on: those that announced themselves to a coordinator, or in a folder."""

import asyncio
import contextlib
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

from clairgen.config.endpoint_checks import REGISTERED, checked_server, is_registered
from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.hanging_calls import in_thread

LOOK_SECONDS: Final = 2.0
"""How often servers are looked for."""
HANGING_SECONDS: Final = 10.0
"""After which a folder that does not answer is spoken of."""
GONE_SECONDS: Final = 15.0
"""After which a server is gone whose file was not touched again."""
_SUFFIX: Final = ".json"
_LONGEST_FILE_BYTES: Final = 10_000

Servers = Callable[[str], AbstractSet[str]]
"""The base URLs that serve a model now; may take long, as a folder can be on a file system that hangs."""


def servers_of(name: str, role: Role, coordinated: Servers | None, clock: Callable[[], float]) -> list[Servers]:
    """Where the servers of a role are looked for; nowhere for a role whose endpoints are all named.

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
    return found


class ServerWatch:
    """Looks for a role's servers every few seconds until it is closed, and tells `looked` of those that there are.

    Each source is asked in a thread: while one hangs, what it found last and what others find counts. `note` is told of it once.
    """

    def __init__(
        self,
        role: str,
        sources: Sequence[Callable[[], AbstractSet[str]]],
        looked: Callable[[AbstractSet[str]], None],
        sleep: Callable[[float], Awaitable[None]],
        note: Callable[[str], None],
    ) -> None:
        self._role = role
        self._looked = looked
        self._sleep = sleep
        self._note = note
        self._is_noted = False
        self._found: dict[int, AbstractSet[str]] = {}
        self._first = asyncio.Event()
        self._looking = [asyncio.create_task(self._look(number, source)) for number, source in enumerate(sources)]

    async def first_look(self) -> None:
        """Wait until all sources were asked once, unless that takes long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._first.wait()

    async def close(self) -> None:
        """Look for no more servers."""
        for task in self._looking:
            task.cancel()
        await asyncio.wait(self._looking)

    async def _look(self, number: int, source: Callable[[], AbstractSet[str]]) -> None:
        while True:
            hanging = asyncio.get_running_loop().call_later(HANGING_SECONDS, self._note_hanging)
            try:
                self._found[number] = await in_thread(source)
            finally:
                hanging.cancel()
            if len(self._found) == len(self._looking):
                self._first.set()
            self._looked({url for urls in self._found.values() for url in urls})
            await self._sleep(LOOK_SECONDS)

    def _note_hanging(self) -> None:
        if not self._is_noted:
            self._is_noted = True
            self._note(
                f"registered servers of the role {self._role!r} have been looked for {HANGING_SECONDS:.0f} s without an answer: "
                "is the file system of `registered:FOLDER` out of reach? requests go on at the servers that are known"
            )


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
