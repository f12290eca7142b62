"""What a coordinator keeps of its groups in `service.db`: their limits, what each member may cost, and who has which shard.

Amounts are picodollars. What is granted is committed here before it is given.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Final, TypeVar

from clairgen.store.completions import now
from clairgen.store.service_database import ServiceDatabase

HELD: Final = "held"
DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group; `budget` is what all of its members together may cost, None without a limit, `made_by` whose token began it."""

    name: str
    budget: int | None
    made_at: str
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """The limits of an endpoint, over all members of a group; None where there is none."""

    group_name: str
    endpoint: str
    requests_per_minute: float | None
    tokens_per_minute: float | None
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A run of a group, whether a process works on it or not.

    `run` is its name for people, `location` where its database is, `session` the process that works on it and `sequence` the last
    of that one's messages. It may cost `allotted`, of which `spent` is known to be spent; `lost` is what an earlier copy of it
    may have cost besides. `former` has the last sessions that work on it no more, whose messages may arrive late.
    """

    group_name: str
    run_id: str
    run: str
    location: str
    session: str
    sequence: int
    allotted: int
    spent: int
    lost: int
    seen_at: str
    former: str = ""


@dataclass(frozen=True, slots=True)
class ShardRow:
    """A shard of some work that a group does; `state` is `held` by a session, or `done`, or empty for one that was given up."""

    group_name: str
    work: str
    number: int
    count: int
    session: str
    holder: str
    state: str


Row = GroupRow | EndpointRow | MemberRow | ShardRow
TABLES: Final[dict[type[Row], str]] = {
    GroupRow: "groups",
    EndpointRow: "group_endpoints",
    MemberRow: "members",
    ShardRow: "shard_leases",
}
Kind = TypeVar("Kind", GroupRow, EndpointRow, MemberRow, ShardRow)


class GroupRecords:
    """The rows in the service's database at `path`. Its methods block, and may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._database = ServiceDatabase(path)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def rows(self, kind: type[Kind]) -> list[Kind]:
        """All rows of a kind."""
        names = ", ".join(field.name for field in fields(kind))
        with self._database.reading():
            found = self._database.connection.execute(f"SELECT {names} FROM {TABLES[kind]}").fetchall()
        return [kind(*row) for row in found]

    def save(self, rows: Sequence[Row]) -> None:
        """Commit rows in one transaction, each in place of the one with its key."""
        with self._database.writing():
            for row in rows:
                marks = ", ".join("?" * len(fields(row)))
                self._database.connection.execute(
                    f"INSERT OR REPLACE INTO {TABLES[type(row)]} VALUES ({marks})", astuple(row)
                )

    def delete_group(self, name: str) -> None:
        """Forget a group and all that was kept of it."""
        with self._database.writing():
            self._database.connection.execute("DELETE FROM groups WHERE name = ?", (name,))
            for table in ("group_endpoints", "members", "shard_leases"):
                self._database.connection.execute(f"DELETE FROM {table} WHERE group_name = ?", (name,))


def key_of(row: Row) -> tuple[str, ...]:
    """What a row is saved in place of: its table, its group, and which one it is."""
    table = TABLES[type(row)]
    match row:
        case GroupRow():
            return table, row.name
        case EndpointRow():
            return table, row.group_name, row.endpoint
        case MemberRow():
            return table, row.group_name, row.run_id
        case ShardRow():
            return table, row.group_name, row.work, str(row.number)


def new_group(name: str, made_by: str = "") -> GroupRow:
    """The row of a group that is made now; a budget comes with its first member that names one."""
    return GroupRow(name, None, now(), made_by)
