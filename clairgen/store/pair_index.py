"""The index of a run's pairs: full text, metrics and outcomes, in a database of its own outside the run.

It follows from `run.db`, can be deleted at any time, and is never the truth: whoever shows a pair reads it from the run. A pair
has a document `doc`, a number by which pairs are in order: its recipe's number, its position, and a version that
grows when the pair gets other answers, since a text cannot be taken out of an index that does not hold the texts.
"""

import asyncio
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import aiosqlite

from clairgen.errors import StoreError
from clairgen.store.connection import store_errors
from clairgen.store.search_words import encodable, spaced

FORMAT: Final = "1"
"""An index of another format is made anew."""
RECIPE_BITS: Final = 42
VERSION_BITS: Final = 8
SORTED_BY: Final = ("jaccard", "levenshtein", "length_ratio", "score_difference", "character_difference", "made")
"""The columns of documents by which they can be in order; of all but the last there are ranges."""

SCHEMA: Final = (
    "CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE recipes (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    # Metrics are null where nothing was decided, or where older metrics measured.
    """CREATE TABLE docs (doc INTEGER PRIMARY KEY, pair_id TEXT NOT NULL, made REAL, jaccard REAL, levenshtein INTEGER,
        length_ratio REAL, score_difference REAL, character_difference INTEGER)""",
    # Documents of answers that a pair had before: their words stay in the index.
    "CREATE TABLE dead (doc INTEGER PRIMARY KEY)",
    # What a pair is chosen by: kept, a reason, a mark, the value of a column.
    "CREATE TABLE facets (facet INTEGER NOT NULL, doc INTEGER NOT NULL, PRIMARY KEY (facet, doc)) WITHOUT ROWID",
    "CREATE TABLE reasons (facet INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL)",
    "CREATE TABLE counts (recipe INTEGER NOT NULL, facet INTEGER NOT NULL, pairs INTEGER NOT NULL, PRIMARY KEY (recipe, facet))",
    """CREATE VIRTUAL TABLE search USING fts5 (prompt, chosen, rejected, content='', columnsize=0,
        tokenize='unicode61 remove_diacritics 2')""",
    "INSERT INTO search (search, rank) VALUES ('hashsize', 67108864)",  # most of a group before it is sorted to disk
    "INSERT INTO search (search, rank) VALUES ('automerge', 8)",
)
SORTED: Final = (
    "CREATE UNIQUE INDEX docs_by_pair ON docs (pair_id)",
    *(f"CREATE INDEX docs_by_{column} ON docs ({column})" for column in SORTED_BY),
)
"""The indexes, which are made once all pairs are in."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far an index is: `pairs` of about `of` are in it; `changes` is how many changes of pairs it has not seen.

    It can be searched once it `is_complete`. `problem` says why there is none.
    """

    pairs: int = 0
    of: int = 0
    is_complete: bool = False
    changes: int = 0
    problem: str | None = None

    @property
    def is_current(self) -> bool:
        """Whether the index has all that the run has."""
        return self.is_complete and not self.changes


def index_file(root: Path, run: str) -> Path:
    """Where the index of a run of this name is, for the folder `root` that holds its runs."""
    name = run if len(run.encode()) <= 200 else hashlib.sha256(run.encode()).hexdigest()
    return root / ".clairgen" / "index" / f"{name}.db"


def facet_number(kind: str, name: str, value: str = "") -> int:
    """The number of a facet: `kept`, `dropped` or `mark` for a reason, or the `value` of the column `name`."""
    content = json.dumps([kind, name, value]).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), signed=True)


async def open_index(path: Path, *, writes: bool = False) -> aiosqlite.Connection:
    """Open the index at `path`; whoever `writes` makes it if it is missing. Raises StoreError."""
    with store_errors(path):
        if writes:
            _make_folder(path)
        connection = await _connected(f"{path.resolve().as_uri()}?mode={'rwc' if writes else 'ro'}")
        try:
            connection.row_factory = sqlite3.Row
            if writes:
                await connection.execute("PRAGMA journal_mode = WAL")
                await connection.execute("PRAGMA synchronous = NORMAL")
                await connection.execute("PRAGMA cache_size = -65536")
                for name, (arguments, function) in _FUNCTIONS.items():
                    await connection.create_function(name, arguments, function, deterministic=True)
        except BaseException:
            await connection.close()
            raise
    return connection


async def _connected(uri: str) -> aiosqlite.Connection:
    """A connection. Whoever is cancelled meanwhile leaves none behind: its thread would answer a loop that is gone."""

    async def connect() -> aiosqlite.Connection:
        return await aiosqlite.connect(uri, uri=True, isolation_level=None)

    connecting = asyncio.create_task(connect())
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with suppress(sqlite3.Error):
            await (await connecting).close()
        raise


def _make_folder(path: Path) -> None:
    """The folder of indexes; a link in its place could lead anywhere."""
    folders = (path.parent.parent, path.parent, path)
    if any(one.is_symlink() for one in folders):
        raise StoreError(f"{path} is a link, or in one; remove it, and the index of the run is made again")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {path.parent} cannot be made: {error.strerror}; check its permissions") from error


def _prompt_text(body: bytes) -> str:
    return spaced(encodable("\n".join(message["content"] for message in json.loads(zlib.decompress(body)))))


def _spaced(text: str | None) -> str | None:
    return None if text is None else spaced(text)


def _characters(text: str | None) -> int | None:
    return None if text is None else len(text)


_FUNCTIONS: Final[Mapping[str, tuple[int, Callable[..., object]]]] = {
    "prompt_text": (1, _prompt_text),
    "spaced": (1, _spaced),
    "characters": (1, _characters),
    "facet_number": (3, lru_cache(maxsize=65_536)(facet_number)),
}
