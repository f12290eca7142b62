"""Faults to plant into clairgen, which the trial must find: python -m tests.durability.planted FAULT ARGUMENTS."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from clairgen.cli.app import main
from clairgen.exporting.dataset import DatasetWriter
from clairgen.store import connection
from clairgen.store.completions import Completions
from clairgen.store.schema import MIGRATIONS, VERSION
from clairgen.store.spending import Spending


def _late_commits() -> None:
    """An answer is used before it is on disk."""
    save, background = Completions.save, set[asyncio.Task[None]]()

    async def later(self: Completions, *arguments: Any) -> None:  # noqa: ANN401
        await asyncio.sleep(0.5)
        await save(self, *arguments)

    async def at_once(self: Completions, *arguments: Any) -> None:  # noqa: ANN401
        background.add(asyncio.create_task(later(self, *arguments)))

    Completions.save = at_once  # type: ignore[assignment, method-assign]  # a fault


def _forgotten_answers() -> None:
    """One answer in twenty is used and not stored."""
    save, count = Completions.save, 0

    async def forgetful(self: Completions, *arguments: Any) -> None:  # noqa: ANN401
        nonlocal count
        count += 1
        if count % 20:
            await save(self, *arguments)

    Completions.save = forgetful  # type: ignore[assignment, method-assign]  # a fault


def _unreserved_calls() -> None:
    """A call is on disk only once it is answered."""

    async def nothing(_self: Spending, _call: Any) -> None:  # noqa: ANN401
        pass

    Spending.reserve = nothing  # type: ignore[assignment, method-assign]  # a fault


def _export_in_place() -> None:
    """The files of a data set are written into its folder one after the other."""

    def copied(self: Any) -> None:  # noqa: ANN401
        self._folder.mkdir(exist_ok=True)
        for path in sorted(self._partial.rglob("*")):
            target: Path = self._folder / path.relative_to(self._partial)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(path.read_bytes())
                time.sleep(0.05)

    DatasetWriter._put_in_place = copied  # type: ignore[method-assign]  # a fault


def _migration_in_parts() -> None:
    """A migration is not one transaction."""

    async def in_parts(database: Any, _path: Path) -> None:  # noqa: ANN401
        for number in range(await connection.version_of(database), VERSION):
            await database.executescript(f"{MIGRATIONS[number]}\nPRAGMA user_version = {number + 1};")

    connection._migrate = in_parts  # type: ignore[assignment]  # a fault


FAULTS: Final[Mapping[str, Callable[[], None]]] = {
    "late-commits": _late_commits,
    "forgotten-answers": _forgotten_answers,
    "unreserved-calls": _unreserved_calls,
    "export-in-place": _export_in_place,
    "migration-in-parts": _migration_in_parts,
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    main()
