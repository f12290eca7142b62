"""Tasks in the store, and which of them have pending pairs."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from clairgen.keys import pair_id
from clairgen.records import Task
from clairgen.store.metadata import metadata_row
from clairgen.store.reader import Reader
from clairgen.store.source_index import NewTask
from clairgen.store.statements import Statement, Write, answers_body, answers_of, messages_of, messages_row
from clairgen.tasks import Row

_PAGE = 512
_ROWS_PER_COMMIT = 5000
LAST_POSITION = "last_position:"
"""Key in `meta`, with a recipe's name: its tasks up to there have pairs."""


@dataclass(frozen=True, slots=True)
class PendingTask:
    """A task and the recipes whose pairs of it are pending."""

    position: int
    task: Task
    recipes: tuple[str, ...]


class Tasks:
    """The tasks of one run, in the order of their source."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def count(self, last: int = 2**62) -> int:
        """How many tasks the run has at positions up to `last`."""
        return int(await self._reader.value("SELECT count(*) FROM tasks WHERE position <= ?", (last,)))

    async def last_position(self) -> int:
        """Position of the last task; 0 without tasks."""
        return int(await self._reader.value("SELECT coalesce(max(position), 0) FROM tasks"))

    async def add(
        self,
        rows: Sequence[Row],
        counted: Callable[[int, Sequence[Row]], Statement],
        before: int,
        merged: Mapping[str, str],
        compared_by: Sequence[str] = (),
    ) -> None:
        """Commit the tasks that are new, at the next positions.

        The first `before` tasks are from an earlier source and get the recorded answers of this one; where those changed, pairs
        of the recipes `compared_by`, which choose between recorded answers, become pending again. Of rows with the same
        prompt the first counts; `merged` has the ids of the others, as `ids_not_stored` returned them for earlier rows.

        `counted` is called with the number of duplicates (rows whose messages the run has) and the conflicts (rows whose id
        the run has with other messages); the statement that it returns is committed together with the tasks.
        """
        hashed = [(row, *messages_row(row.task.messages)) for row in rows]
        by_id = {row.task.id: merged[row.task.id] for row in rows if row.task.id in merged}
        by_id |= await self._stored("id", [row.task.id for row in rows])
        known = set((await self._stored("messages", [messages_hash for _, messages_hash, _ in hashed])).values())
        position = await self.last_position()
        statements: list[Statement] = []
        renewed: dict[str, list[Statement]] = {}
        conflicts: list[Row] = []
        for row, messages_hash, statement in hashed:
            if by_id.setdefault(row.task.id, messages_hash) != messages_hash:
                conflicts.append(row)
            elif messages_hash in known:
                if before and row.task.answers and messages_hash not in renewed:
                    renewed[messages_hash] = _renewal(row.task, messages_hash, before, compared_by)
            else:
                known.add(messages_hash)
                position += 1
                new_task = "INSERT INTO tasks (position, id, messages, answers) VALUES (?, ?, ?, ?)"
                values = (position, row.task.id, messages_hash, answers_body(row.task.answers))
                statements += [statement, (new_task, values)]
        duplicates = len(rows) - len(conflicts) - len(statements) // 2
        renewals = (statement for group in renewed.values() for statement in group)
        await self._write(*statements, *renewals, counted(duplicates, conflicts))

    async def add_numbered(self, tasks: Sequence[NewTask], state: Statement) -> None:
        """Commit tasks at the positions that they have in the whole run, those that the run has apart, together with `state`."""
        new_task = (
            "INSERT INTO tasks (position, id, messages, answers) SELECT ?1, ?2, ?3, ?4 "
            "WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE position = ?1 AND id = ?2 AND messages = ?3)"
        )
        statements: list[Statement] = []
        for new in tasks:
            task = new.row.task
            statements += [
                new.stored,
                (new_task, (new.position, task.id, new.messages_hash, answers_body(task.answers))),
            ]
        await self._write(*statements, state)

    async def ids_not_stored(self, rows: Sequence[Row]) -> dict[str, str]:
        """Ids that the source gave to rows and the run does not have, with the hash of their messages; the first row counts."""
        named = [row for row in rows if row.named]
        stored = await self._stored("id", [row.task.id for row in named])
        found: dict[str, str] = {}
        for row in named:
            if row.task.id not in stored:
                found.setdefault(row.task.id, messages_row(row.task.messages)[0])
        return found

    async def clear(self) -> None:
        """Delete the tasks of a source that turned out to be bad before any request was made."""
        await self._write(
            ("DELETE FROM tasks", ()),
            ("DELETE FROM pairs WHERE status = 'pending'", ()),
            ("DELETE FROM meta WHERE key LIKE ?", (f"{LAST_POSITION}%",)),
        )

    async def find(self, task_id: str) -> Task:
        """A task that the run has."""
        sql = "SELECT t.id, m.body, t.answers FROM tasks t JOIN messages m ON m.hash = t.messages WHERE t.id = ?"
        row = await self._reader.row(sql, (task_id,))
        if row is None:
            raise KeyError(task_id)
        return Task(row["id"], messages_of(row["body"]), answers_of(row["answers"]))

    async def add_pending_pairs(self, recipe: str) -> None:
        """Give every task that has none a pending pair of this recipe; goes on where the last call ended."""
        key = f"{LAST_POSITION}{recipe}"
        done = int(await self._reader.value("SELECT value FROM meta WHERE key = ?", (key,)) or 0)
        last = await self.last_position()
        insert = "INSERT OR IGNORE INTO pairs (id, position, task_id, recipe) VALUES (?, ?, ?, ?)"
        for start in range(done, last, _ROWS_PER_COMMIT):
            end = min(start + _ROWS_PER_COMMIT, last)
            sql = "SELECT position, id FROM tasks WHERE position > ? AND position <= ?"
            rows = [
                (pair_id(row["id"], recipe), row["position"], row["id"], recipe)
                for row in await self._reader.rows(sql, (start, end))
            ]
            await self._write(*((insert, row) for row in rows), metadata_row(key, str(end)))

    async def pending(self, recipes: Sequence[str], limit: int | None = None) -> AsyncIterator[PendingTask]:
        """Tasks with a pending pair of one of `recipes`, in order, among the first `limit`; reads an index of those alone."""
        after, last = 0, limit if limit is not None else 2**62
        while waiting := await self._waiting(recipes, after, last):
            for pending in await self._with_messages(waiting):
                yield pending
            after = max(waiting)

    async def undone(self, done: Mapping[str, Sequence[str]], last: int) -> AsyncIterator[PendingTask]:
        """Tasks at positions up to `last` whose pair of a recipe is missing or has none of the statuses in `done`, by recipe."""
        for start in range(0, min(last, await self.last_position()), _PAGE):
            end = min(start + _PAGE, last)
            positions = await self._reader.rows(
                "SELECT position FROM tasks WHERE position > ? AND position <= ? ORDER BY position", (start, end)
            )
            found: dict[int, list[str]] = {row["position"]: [] for row in positions}
            for recipe, statuses in done.items():
                marks = ", ".join("?" * len(statuses))
                sql = f"SELECT position FROM pairs WHERE recipe = ? AND status IN ({marks}) AND position > ? AND position <= ?"
                rows = await self._reader.rows(sql, (recipe, *statuses, start, end))
                for position in found.keys() - {row["position"] for row in rows}:
                    found[position].append(recipe)
            for pending in await self._with_messages({at: recipes for at, recipes in found.items() if recipes}):
                yield pending

    async def identities(self) -> AsyncIterator[tuple[str, str]]:
        """Ids of all tasks and the content hashes of their messages."""
        last = await self.last_position()
        for start in range(0, last, _ROWS_PER_COMMIT):
            sql = "SELECT id, messages FROM tasks WHERE position > ? AND position <= ?"
            for row in await self._reader.rows(sql, (start, start + _ROWS_PER_COMMIT)):
                yield row["id"], row["messages"]

    async def _waiting(self, recipes: Sequence[str], after: int, last: int) -> dict[int, list[str]]:
        """The next positions with pending pairs, and their recipes."""
        marks = ", ".join("?" * len(recipes))
        sql = (
            "SELECT position, recipe FROM pairs INDEXED BY pairs_pending WHERE status = 'pending' AND position > ? "
            f"AND position <= ? AND recipe IN ({marks}) ORDER BY position LIMIT ?"
        )
        rows = await self._reader.rows(sql, (after, last, *recipes, _PAGE))
        found: dict[int, list[str]] = {}
        for row in rows:
            found.setdefault(row["position"], []).append(row["recipe"])
        if len(rows) == _PAGE and len(found) > 1:
            del found[rows[-1]["position"]]  # the page may have ended within it; the next page has all of it
        return found

    async def _with_messages(self, waiting: Mapping[int, list[str]]) -> list[PendingTask]:
        marks = ", ".join("?" * len(waiting))
        sql = (
            "SELECT t.position, t.id, m.body, t.answers FROM tasks t JOIN messages m ON m.hash = t.messages "
            f"WHERE t.position IN ({marks}) ORDER BY t.position"
        )
        rows = await self._reader.rows(sql, list(waiting))
        return [
            PendingTask(
                row["position"],
                Task(row["id"], messages_of(row["body"]), answers_of(row["answers"])),
                tuple(waiting[row["position"]]),
            )
            for row in rows
        ]

    async def _stored(self, column: str, values: Sequence[str]) -> dict[str, str]:
        """Message hashes of the stored tasks whose `column` is among `values`, by id."""
        marks = ", ".join("?" * len(values))
        sql = f"SELECT id, messages FROM tasks WHERE {column} IN ({marks})"
        return {row["id"]: row["messages"] for row in await self._reader.rows(sql, values)}


def _renewal(task: Task, messages_hash: str, before: int, compared_by: Sequence[str]) -> list[Statement]:
    """Statements that give a stored task other recorded answers, and make the pairs that rest on its former ones pending."""
    body = answers_body(task.answers)
    changed = "messages = ? AND position <= ? AND answers IS NOT ?"
    outdated = (
        "UPDATE pairs SET status = 'pending' WHERE recipe = ? AND status IN ('made', 'failed') "
        f"AND position = (SELECT position FROM tasks WHERE {changed})"
    )
    return [
        *((outdated, (recipe, messages_hash, before, body)) for recipe in compared_by),
        (f"UPDATE tasks SET answers = ? WHERE {changed}", (body, messages_hash, before, body)),
    ]
