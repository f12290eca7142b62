"""Which part of its source's tasks a run stores: all, those of its shard, or those that no shard merged into it had."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from clairgen.config.models import RunConfig
from clairgen.errors import ConfigError, RunError
from clairgen.pipeline.ingest import IngestState, ingest_state
from clairgen.records import Task
from clairgen.store import Store, run_shard
from clairgen.store.metadata import SHARD, same_source
from clairgen.task_shard import TaskShard

MERGED: Final = "merged:"
"""Metadata key, with the id of a shard's run: what was merged from it."""


async def shard_of_session(
    store: Store | None, run: Path, named: TaskShard | None, config: RunConfig
) -> TaskShard | None:
    """The shard that a session is about, by what the run is (`store` is None for a new one) and what its command names.

    Raises RunError where those differ, ConfigError where no shard can be made by the configuration.
    """
    known = await run_shard(store) if store is not None else None
    if known is not None and named is not None and known != named:
        raise RunError(
            f"{run} is shard {known}, and shard {named} was asked for; give each shard a directory of its own, and a "
            "copy of its own if one is kept"
        )
    if known is None and named is not None and store is not None and await store.tasks.last_position():
        raise RunError(f"{run} is a run of all tasks and not shard {named}; name a new folder for --run")
    if (known or named) is not None and config.imports:
        raise ConfigError(
            "`import` belongs to a whole run and not to a shard, or every shard would have those pairs; leave it out, and put it "
            "back for a clairgen generate over the merged run"
        )
    return known or named


async def settle_shard(store: Store, shard: TaskShard | None) -> None:
    """Commit which shard a run is, before it has tasks."""
    if shard is not None and await run_shard(store) is None:
        await store.metadata.put(SHARD, str(shard))


async def require_whole(store: Store, run: Path, what: str) -> None:
    """Raise RunError for a shard, and a run that lacks some, where `what` can only be done to a whole run."""
    if _lacks_shards(await ingest_state(store), await store.metadata.with_prefix(MERGED)):
        raise RunError(
            f"{run} lacks shards, and {what} belongs to a whole run; merge the others, or run clairgen generate with it, first"
        )
    if (shard := await run_shard(store)) is not None:
        raise RunError(
            f"{run} is shard {shard}, and {what} belongs to a whole run; merge the shards first: clairgen merge SHARDS --run RUN"
        )


async def stored_part(
    store: Store, config: RunConfig, state: IngestState | None, source: dict[str, Any] | None
) -> Callable[[Task], bool] | None:
    """Which tasks of the source a run stores, at their positions among all; None for a run that reads its source alone.

    Raises RunError where the source is another one than that of the tasks that the run has.
    """
    shard = await run_shard(store)
    is_lacking = _lacks_shards(state, await store.metadata.with_prefix(MERGED))
    if shard is None and not is_lacking:
        return None
    if state is not None and source is not None and not same_source(state.source, source):
        if is_lacking:
            raise RunError(
                "the run lacks shards, and the tasks are no longer those that it was made with; merge the other shards first, or "
                "give the tasks as they were"
            )
        if await store.metadata.plans():
            raise RunError(
                f"the tasks changed, and shard {shard} cannot go on with others than all shards have; make new shards in new "
                "folders with --reuse, or merge the shards and go on with the merged run"
            )
    if shard is None:
        return lambda _: True
    return part_of(shard, config)


def _lacks_shards(state: IngestState | None, merged: Mapping[str, str]) -> bool:
    return state is not None and not state.complete and bool(merged)


def part_of(shard: TaskShard | None, config: RunConfig) -> Callable[[Task], bool] | None:
    """Which tasks a shard has; None for a run of all tasks."""
    if shard is None:
        return None
    own_turns = config.assistant_turns == "own"
    return lambda task: shard.has(task.messages, own_turns=own_turns)
