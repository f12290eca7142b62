"""All groups of a service: read from disk when the first is asked for, and each answer given once what it says is on disk."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from clairgen.coordination.wire import RATE_SECONDS, SERVER_SECONDS, Beat, Claim, Claimed, Granted, Join, Leave
from clairgen.errors import ConfigError, RunError
from clairgen.service.coordinator.member_groups import Group
from clairgen.store.group_records import (
    HELD,
    EndpointRow,
    GroupRow,
    Kind,
    MemberRow,
    Row,
    ShardRow,
    key_of,
    new_group,
)

_MOST_GROUPS: Final = 4000
_MOST_GROUPS_OF_ONE: Final = 1000  # token, or address where none is needed
_MOST_RUNS: Final = 100_000  # of all groups, as are the following
_MOST_ENDPOINTS: Final = 10_000
_MOST_SHARDS: Final = 200_000
_MOST_SERVERS: Final = 10_000


class Records(Protocol):
    """Where rows are kept, as `GroupRecords` does in a database. Its methods block, and may be called from any thread."""

    def rows(self, kind: type[Kind]) -> list[Kind]:
        """All rows of a kind."""

    def save(self, rows: Sequence[Row]) -> None:
        """Put rows on disk, each in place of the one with its key: all of them, or none."""

    def delete_group(self, name: str) -> None:
        """Forget a group."""

    def close(self) -> None:
        """Nothing more is asked."""


class Coordinator:
    """The groups whose records `records` opens. Times are on `clock`.

    With `has_new_token` no process from before this one can report any more: none is at work, and none holds a shard.
    """

    def __init__(
        self,
        records: Callable[[], Records],
        clock: Callable[[], float] = time.monotonic,
        *,
        has_new_token: bool = False,
    ) -> None:
        self._open = records
        self._clock = clock
        self._has_new_token = has_new_token
        self._records: Records | None = None
        self._groups: dict[str, Group] = {}
        self._servers: dict[tuple[str, str], float] = {}
        self._opening = asyncio.Lock()
        self._waiting: list[tuple[Group, Sequence[Row], asyncio.Future[None]]] = []
        self._unsaved: dict[tuple[str, ...], Row] = {}
        self._saving: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    async def claim(self, name: str, claim: Claim, by: str) -> Claimed:
        """Give a process a shard, or say why there is none; `by` is whose token it has, or where it is."""
        group = await self._group(name, by)
        if group.shards.may_add(claim):
            self._require_room("shards", _MOST_SHARDS, [len(one.shards) for one in self._groups.values()])
        claimed, rows = group.claim(claim)
        await self._save(group, rows)
        return claimed

    async def join(self, name: str, join: Join, by: str) -> None:
        """Take a process into a group, which is made with its limits if it is the first; `by` is as in `claim`."""
        group = await self._group(name, by)
        groups = self._groups.values()
        if join.run_id not in group.money.accounts:
            self._require_room("runs", _MOST_RUNS, [len(one.money.accounts) for one in groups])
        if any(limit.endpoint not in group.endpoints for limit in join.limits):
            self._require_room("endpoints", _MOST_ENDPOINTS, [len(one.endpoints) for one in groups])
        await self._save(group, group.join(join))

    async def beat(self, name: str, beat: Beat) -> Granted:
        """What a member may do until its next report."""
        group = await self._joined(name)
        granted, rows = group.beat(beat)
        await self._save(group, rows)
        if not beat.models:
            return granted
        servers = await self.servers()
        return granted.model_copy(update={"servers": {model: servers.get(model, []) for model in beat.models}})

    async def leave(self, name: str, leave: Leave) -> None:
        """Let a member go."""
        group = await self._joined(name)
        await self._save(group, group.leave(leave))

    async def free(self, name: str, run_id: str) -> int:
        """Free what a run of a group holds and nothing will spend; how many picodollars that were."""
        group = await self._known(name)
        freed, rows = group.free(run_id)
        await self._save(group, rows)
        return freed

    async def forget(self, name: str) -> None:
        """Forget a group. Raises RunError while a member is at work."""
        group = await self._known(name)
        if group.is_at_work:
            raise RunError(f"members of the group {name} are at work; end them first")
        await self._forget(group)

    async def overview(self) -> list[dict[str, Any]]:
        """All groups, for people and programs."""
        await self._load()
        return [group.overview() for group in self._groups.values()]

    def announce(self, model: str, url: str) -> None:
        """A server of a model is there, for the next seconds. Raises RunError for one too many."""
        if len(self._servers) >= _MOST_SERVERS and (model, url) not in self._servers:
            self._forget_silent_servers()
        if len(self._servers) >= _MOST_SERVERS and (model, url) not in self._servers:
            raise RunError(f"{_MOST_SERVERS:,} servers have announced themselves, as many as may")
        self._servers[model, url] = self._clock() + SERVER_SECONDS

    def withdraw(self, model: str, url: str) -> None:
        """A server ends."""
        self._servers.pop((model, url), None)

    async def servers(self) -> dict[str, list[str]]:
        """The servers that are there, by model."""
        found = dict[str, list[str]]()
        self._forget_silent_servers()
        for model, url in sorted(self._servers):
            found.setdefault(model, []).append(url)
        return found

    async def close(self) -> None:
        """Finish what is being saved."""
        if self._saving is not None:
            await self._saving
        if self._records is not None:
            self._records.close()

    async def _forget(self, group: Group) -> None:
        """Forget a group here and on disk, after what is being saved of it."""
        name = group.row.name
        del self._groups[name]
        self._unsaved = {key: row for key, row in self._unsaved.items() if key[1] != name}
        assert self._records is not None  # noqa: S101 - it was read
        async with self._writing:
            await asyncio.to_thread(self._records.delete_group, name)

    def _forget_silent_servers(self) -> None:
        now = self._clock()
        self._servers = {server: until for server, until in self._servers.items() if until > now}

    def _require_room(self, what: str, most: int, counts: Sequence[int]) -> None:
        """Refuse one more of something of which all groups together have so many."""
        if sum(counts) >= most:
            raise RunError(
                f"the groups of the coordinator have {most:,} {what} together, as many as they may; forget a group with: "
                "clairgen coordinator URL --group NAME --forget"
            )

    async def _group(self, name: str, by: str) -> Group:
        """A group, which is made if it is not there. Raises ConfigError where there are too many."""
        await self._load()
        if name not in self._groups:
            await self._require_room_for_group(by)
        if (group := self._groups.get(name)) is None:
            group = self._groups[name] = Group(new_group(name, by), self._clock)
        return group

    async def _require_room_for_group(self, by: str) -> None:
        """Refuse one group too many, once those are forgotten of which nothing would be missed."""
        if self._too_many_groups(by) is not None:
            for group in list(self._groups.values()):
                if not group.is_worth_keeping and group.row.name in self._groups:
                    await self._forget(group)
        if (refusal := self._too_many_groups(by)) is not None:
            raise ConfigError(
                f"{refusal}; free room by forgetting those that are over, such as all of which nothing was heard for 30 days: "
                "clairgen coordinator URL --forget --idle-days 30"
            )

    def _too_many_groups(self, by: str) -> str | None:
        """Why somebody may begin no further group; None where that is not so."""
        if len(self._groups) >= _MOST_GROUPS:
            return f"the coordinator has {_MOST_GROUPS:,} groups, as many as it may"
        if sum(group.row.made_by == by for group in self._groups.values()) >= _MOST_GROUPS_OF_ONE:
            return f"{_MOST_GROUPS_OF_ONE:,} groups were begun by the same client ({by}), as many as one may begin"
        return None

    async def _known(self, name: str) -> Group:
        await self._load()
        if (group := self._groups.get(name)) is None:
            raise RunError(f"there is no group {name}")
        return group

    async def _joined(self, name: str) -> Group:
        await self._load()
        if (group := self._groups.get(name)) is None:
            raise RunError(
                f"there is no group {name} any more: somebody has forgotten it, or the coordinator has another database; run the "
                "same command again"
            )
        return group

    async def _load(self) -> None:
        async with self._opening:
            if self._records is not None:
                return
            records = await asyncio.to_thread(self._open)
            groups = await asyncio.to_thread(records.rows, GroupRow)
            quiet_until = self._clock() + RATE_SECONDS
            for row in groups:
                self._groups[row.name] = Group(row, self._clock, quiet_until)
            for one in await asyncio.to_thread(_parts, records):
                if (group := self._groups.get(one.group_name)) is not None:  # else it is left of one that was forgotten
                    group.load(_without_process(one) if self._has_new_token else one)
            self._records = records

    async def _save(self, group: Group, rows: Sequence[Row]) -> None:
        """Wait until rows are on disk; those of all members that wait are one transaction.

        What could not be written is in memory already: it is written with the next message, of whomever that is.
        """
        if not rows and not self._unsaved:
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((group, rows, done))
        if self._saving is None:
            self._saving = asyncio.create_task(self._save_all())
        await done
        group.saved(rows)

    async def _save_all(self) -> None:
        try:
            while self._waiting:
                async with self._writing:
                    waiting, self._waiting = self._waiting, []
                    await self._save_once(waiting)
        finally:
            self._saving = None

    async def _save_once(self, waiting: Sequence[tuple[Group, Sequence[Row], asyncio.Future[None]]]) -> None:
        """Save what waits, but for groups that were forgotten meanwhile."""
        assert self._records is not None  # noqa: S101 - groups were read from it
        rows = [*self._unsaved.values()]
        rows += [row for group, rows, _ in waiting if self._groups.get(group.row.name) is group for row in rows]
        error: Exception | None = None
        try:
            await asyncio.to_thread(self._records.save, rows)
        except Exception as raised:  # noqa: BLE001 - each of those that wait raises it
            error = raised
        unsaved = {key_of(row): row for row in rows} if error is not None else {}
        self._unsaved = {key: row for key, row in unsaved.items() if key[1] in self._groups}
        for _, _, done in waiting:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)


def _without_process(row: EndpointRow | MemberRow | ShardRow) -> EndpointRow | MemberRow | ShardRow:
    """The row once the process that it names is not heard any more; what a run was allotted stays, as it may be spent."""
    if isinstance(row, MemberRow):
        return replace(row, session="")
    if isinstance(row, ShardRow) and row.state == HELD:
        return replace(row, session="", state="")
    return row


def _parts(records: Records) -> list[EndpointRow | MemberRow | ShardRow]:
    """What is on disk of all groups."""
    return [*records.rows(EndpointRow), *records.rows(MemberRow), *records.rows(ShardRow)]
