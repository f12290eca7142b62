"""A session as a member of a coordinated group: which group and shard it is of, and its part of limits and of the budget."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from clairgen.config.endpoint_checks import REGISTERED
from clairgen.config.models import RunConfig
from clairgen.config.prices import PICODOLLARS
from clairgen.config.role import Role
from clairgen.coordination.coordinator_client import CoordinatorAddress, CoordinatorClient
from clairgen.coordination.leased_limits import limits_in_words
from clairgen.coordination.membership import Membership
from clairgen.coordination.silence import Surroundings
from clairgen.errors import ConfigError, DrainedError, RunError, RunStoppedError, UserError
from clairgen.inference.factory import configured_limits
from clairgen.inference.registered import servers_of
from clairgen.inference.runtime import Runtime
from clairgen.installed import __version__
from clairgen.keys import canonical_json, digest
from clairgen.pipeline.budget_limit import NamedBudget
from clairgen.pipeline.plans import PlannedRecipe
from clairgen.pipeline.session import Session
from clairgen.store import RunDirectory, Store
from clairgen.task_shard import SHARD_MARK, LeasedShard, TaskShard

_DIGITS: Final = 12
_CREATED: Final = ".created"


@asynccontextmanager
async def coordinated(
    address: CoordinatorAddress | None,
    config: RunConfig,
    roles: Mapping[str, Role],
    planned: Sequence[PlannedRecipe],
    note: Callable[[str], None],
    stop: asyncio.Event,
    runtime: Runtime,
) -> AsyncIterator[Membership | None]:
    """The membership of a session, which ends with the block; None without a coordinator."""
    for name, role in roles.items():
        servers_of(name, role, None if address is None else lambda _: frozenset(), runtime.clock)
    if address is None:
        yield None
        return
    transport = runtime.transport(note)
    try:
        group = address.group or work_of(config, planned)
        membership = Membership(
            CoordinatorClient(transport, address, group),
            group,
            address.url,
            Surroundings(runtime.clock, runtime.lease_clock, runtime.sleep, note, stop),
            max((role.patience_seconds for role in roles.values()), default=0.0),
            limits_in_words(configured_limits(roles)),
            models=tuple({role.model for role in roles.values() if REGISTERED in role.endpoints}),
        )
        async with membership:
            yield membership
    finally:
        await transport.close()


def work_of(config: RunConfig, planned: Sequence[PlannedRecipe]) -> str:
    """A name for what is split into shards, the same on every machine: the plans, and the source without its folder."""
    source = None if config.tasks is None else config.tasks.model_dump(mode="json", exclude={"path"}, exclude_none=True)
    path = None if config.tasks is None else config.tasks.path
    facts = {
        "plans": [[entry.plan.recipe, entry.plan.facts] for entry in planned],
        "source": source,
        "file": None if path is None else [path.name, path.stat().st_size if path.is_file() else None],
    }
    return digest(canonical_json(facts))[:_DIGITS]


async def shard_to_make(
    member: Membership | None,
    shard: TaskShard | LeasedShard | None,
    config: RunConfig,
    planned: Sequence[PlannedRecipe],
    run: Path | str,
    *,
    takes_over: bool,
) -> TaskShard | None:
    """The shard of a session, held for as long as its membership lasts. Raises ConfigError for one that nobody can give."""
    if takes_over and (member is None or not isinstance(shard, TaskShard)):
        raise ConfigError(
            "--take-over takes a named shard from its holder; give --shard i/N and --coordinator URL with it"
        )
    if member is None or shard is None:
        if isinstance(shard, LeasedShard):
            raise ConfigError(f"--shard {shard} takes a shard from a coordinator; name it with --coordinator URL")
        return shard
    if SHARD_MARK not in str(run) and isinstance(shard, LeasedShard):
        raise ConfigError(
            f"--shard {shard} is some shard, and each has a directory of its own; write its number into --run as {SHARD_MARK}, "
            f"such as shards/{SHARD_MARK}"
        )
    return await member.claim(shard, work_of(config, planned), _on_this_machine(run), takes_over=takes_over)


def require_direct(shard: LeasedShard, roles: Mapping[str, Role]) -> None:
    """Raise ConfigError for a role that goes by batch: whoever gets the shard next could not collect them, and pay again."""
    for name, role in roles.items():
        if role.delivery != "direct":
            raise ConfigError(
                f"models.{name} has `delivery: {role.delivery}`, whose batches only one run directory can collect, and --shard "
                f"{shard} may give a shard to another machine; name the shard, as --shard i/{shard.count}"
            )


def with_shard(location: str, shard: TaskShard | None, option: str) -> str:
    """A path or URL that an option names, with the shard's number filled in. Raises ConfigError where there is no shard."""
    if SHARD_MARK not in location:
        return location
    if shard is None:
        raise ConfigError(
            f"{option} {location} has {SHARD_MARK} in it, and no shard was asked for; give --shard, or leave that out"
        )
    return location.replace(SHARD_MARK, str(shard.number))


def named_alone(named: NamedBudget, member: Membership | None) -> NamedBudget:
    """What is named of a run's own budget: nothing for a member, whose command names that of the group."""
    return named if member is None else NamedBudget(None, False, None)


async def joined(held: Session, member: Membership | None, named: NamedBudget) -> Session:
    """The session after its run was announced, with the limits and the budget of the group; as it is without a group.

    Raises ConfigError where the group has other limits than the session's configuration.
    """
    if member is None:
        return held
    if named.lifted:
        raise ConfigError(
            "--no-budget lifts a run's budget, and with --coordinator the budget is the group's; leave it out"
        )
    budget_usd = named.flag_usd if named.flag_usd is not None else named.configured_usd
    await held.store.metadata.initialize(__version__)
    run_id = await held.store.metadata.get("run_id") or ""
    spent = (await held.store.spending.total()).total
    await member.join(
        run_id,
        _on_this_machine(held.directory.path),
        location_of(held.directory),
        spent,
        None if budget_usd is None else int(budget_usd * PICODOLLARS),
    )
    runtime = replace(
        held.runtime, shared_limits=member.limits, shared_budget=member.budget, registered_servers=member.servers
    )
    return replace(held, runtime=runtime)


def reason_to_stop(
    member: Membership | None, error: RunStoppedError | UserError | None
) -> RunStoppedError | UserError | None:
    """Why a session was stopped: where its membership ended that, the rest was told to stop without a reason."""
    if member is not None and member.error is not None and isinstance(error, DrainedError):
        return member.error
    return error


async def settle_membership(member: Membership | None, store: Store, *, is_done: bool) -> None:
    """What the coordinator is told when the session ends: what the run has spent, and whether its shard is done."""
    if member is not None:
        member.is_done, member.spent = is_done, (await store.spending.total()).total


def location_of(directory: RunDirectory) -> str:
    """Where a run's database is, the same as long as it is this very file: a copy of it may lack what was spent last.

    A copy that is put where a lost file was can have its inode. So the time of an empty file beside it counts too: nobody writes
    to it again, and each copy of it has a time of its own. Raises RunError where it cannot be created.
    """
    found, created = directory.database.stat(), directory.path / _CREATED
    try:
        with contextlib.suppress(FileExistsError):
            created.touch(exist_ok=False)
        since = created.stat().st_ctime_ns
    except OSError as error:
        raise RunError(f"{created} cannot be created: {error.strerror}; see to the disk and run this again") from error
    return f"{socket.gethostname()}:{found.st_dev}:{found.st_ino}:{since}"


def _on_this_machine(run: Path | str) -> str:
    return f"{socket.gethostname()}:{Path(run).absolute()}"
