"""What must hold after every kill and at the end, whatever was killed when. A violation is a sentence."""

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clairgen.keys import seed_for
from tests.durability.provider import SLOTS, Session

_MOST_UNCOMMITTED = 2 * SLOTS
"""In flight at a kill, and about as many that were answered and not committed yet."""
_COUNTED = "SELECT coalesce(sum(coalesce(cost, max_cost)), 0) FROM spending"
_MADE = (
    "SELECT task_id, iif(recipe = 'worsened', 'degraded', recipe), chosen, rejected FROM pairs {} WHERE status = 'made'"
)
_TEXTS = "JOIN pair_texts ON pair = number"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is on disk of a run: texts by content key, the answers of made pairs by task and recipe (its present name), money.

    `counted` is what the run accounts for, in picodollars; `integrity` what SQLite says of the file.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[tuple[str, str], tuple[str | None, str | None]] = field(default_factory=dict)
    counted: int = 0
    integrity: str = "ok"

    @property
    def seeds(self) -> dict[int, str]:
        """The seed that was sent for each completion, and its key."""
        return {seed_for(0, key): key for key in self.texts}


def snapshot(database: Path) -> Snapshot:
    """Read a run's database as a kill left it: a copy, since whoever opens it rolls it forward or back."""
    with TemporaryDirectory() as folder:
        for path in database.parent.glob(f"{database.name}*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, folder)
        with closing(sqlite3.connect(Path(folder) / database.name)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'completions'").fetchone():
                return Snapshot()
            return _snapshot(connection)


@dataclass(frozen=True, slots=True)
class Money:
    """The provider's whole bill, and the run's budget, in picodollars."""

    billed: int
    budget: int


def after_session(
    before: Snapshot, after: Snapshot, session: Session, money: Money | None, *, killed: bool
) -> Iterator[str]:
    """What a session of `generate` did that it must not do; `money` is None where the run has no prices."""
    yield from lost(before, after)
    if repeated := before.seeds.keys() & session.asked.keys():
        yield f"{len(repeated)} stored answers were requested again"
    if twice := [seed for seed, count in session.answered.items() if count > 1]:
        yield f"{len(twice)} requests were answered twice in one session"
    uncommitted = session.answered.keys() - after.seeds.keys()
    if len(uncommitted) > (_MOST_UNCOMMITTED if killed else 0):
        yield f"{len(uncommitted)} answers were billed and not committed" + ("" if killed else ", without a kill")
    if money is not None and money.billed > after.counted:
        yield f"{_usd(money.billed)} were billed, and the run accounts for {_usd(after.counted)}"
    if money is not None and after.counted > money.budget:
        yield f"the run accounts for {_usd(after.counted)} with a budget of {_usd(money.budget)}"


def after_rework(before: Snapshot, after: Snapshot, session: Session) -> Iterator[str]:
    """What a command that asks no model did that it must not do."""
    yield from lost(before, after)
    if session.asked:
        yield f"{session.asked.total()} requests were sent"
    if changed := [key for key, pair in before.made.items() if after.made.get(key) != pair]:
        yield f"{len(changed)} pairs have other answers"
    if after.counted != before.counted:
        yield "the money spent has changed"


def contents(database: Path) -> dict[str, set[tuple[Any, ...]]]:
    """All that must be equal in a run that was killed and one that was not."""
    queries = {
        "completions": "SELECT key, role, model, text, finish_reason, prompt_tokens, completion_tokens FROM completions",
        "pairs": (
            "SELECT id, position, status, chosen, rejected, unparsed, reasoning, parse_status, levenshtein, jaccard, "
            "drop_reason FROM pairs LEFT JOIN pair_texts ON pair = number"
        ),
        "requests of pairs": "SELECT pair_id, purpose, key FROM pair_requests",
        "findings": (
            "SELECT f.pair_id, f.position, f.filter, f.action, f.reason, f.value FROM filter_results f "
            "JOIN pairs p ON p.id = f.pair_id AND p.filter_set = f.filter_set"
        ),
        "failures": "SELECT f.pair_id, f.reason FROM failures f JOIN pairs p ON p.id = f.pair_id WHERE p.status = 'failed'",
        "tasks": "SELECT position, id, messages FROM tasks",
        "filters in force": (
            "SELECT settings FROM filter_sets WHERE id = (SELECT value FROM meta WHERE key = 'filter_set')"
        ),
        "unsettled": "SELECT value FROM meta WHERE key = 'near_duplicates_unsettled'",
    }
    with closing(sqlite3.connect(database)) as connection:
        return {name: set(connection.execute(sql)) for name, sql in queries.items()}


def dump(database: Path) -> list[str]:
    """A whole database as SQL."""
    with closing(sqlite3.connect(database)) as connection:
        [[version]] = connection.execute("PRAGMA user_version")
        return [f"version {version}", *connection.iterdump()]


def differences(found: Mapping[str, set[Any]], expected: Mapping[str, set[Any]]) -> Iterator[str]:
    """How a run differs from the undisturbed one."""
    for name, rows in expected.items():
        missing, more = rows - found[name], found[name] - rows
        if missing or more:
            example = str(next(iter(missing or more)))[:300]
            yield f"{name}: {len(missing)} rows are missing and {len(more)} should not be there, such as {example}"


def files(folder: Path) -> dict[str, str]:
    """The parquet files of a data set, by their hash; empty if there is no such folder."""
    return {str(path.relative_to(folder)): _hash(path) for path in sorted(folder.rglob("*.parquet"))}


def is_whole(folder: Path, expected: Mapping[str, str]) -> Iterator[str]:
    """A folder of an export has all `expected` files, or is not there."""
    if folder.exists() and files(folder) != expected:
        yield f"{folder.name} is not a whole data set: {sorted(path.name for path in folder.rglob('*'))}"


def lost(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """What was on disk and is no more."""
    if after.integrity != "ok":
        yield f"the database is damaged: {after.integrity}"
    if missing := [key for key, text in before.texts.items() if after.texts.get(key) != text]:
        yield f"{len(missing)} stored answers are gone or changed"
    if gone := before.made.keys() - after.made.keys():
        yield f"{len(gone)} pairs that were made are gone"


def _snapshot(connection: sqlite3.Connection) -> Snapshot:
    [[integrity], *_] = connection.execute("PRAGMA integrity_check")
    [[version]] = connection.execute("PRAGMA user_version")
    [[counted]] = connection.execute(_COUNTED if version > 2 else _COUNTED.replace("max_cost", "most"))
    made = _MADE.format(_TEXTS if version > 15 else "")
    return Snapshot(
        dict(connection.execute("SELECT key, text FROM completions")),
        {(task, recipe): (chosen, rejected) for task, recipe, chosen, rejected in connection.execute(made)},
        counted,
        integrity,
    )


def _usd(picodollars: int) -> str:
    return f"${picodollars / 1e12:.6f}"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
