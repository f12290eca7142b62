"""Filters the pairs of all shards in a folder as they would be filtered in the merged run."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.truncated import CUT_PROMPT
from clairgen.inference.pool import CHARACTERS_PER_TOKEN, FEWEST_TOKENS
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pipeline.refilter import refilter
from clairgen.store import (
    RunDirectory,
    ShardFacts,
    ShardFolder,
    allow_open_files,
    require_all_tasks,
    require_same_run,
    shard_facts,
    writing,
)
from clairgen.store.metadata import TOKENIZER
from clairgen.task_shard import shards_named
from clairgen.wording import counted


async def filter_shards(folder: ShardFolder, settings: FilterSettings, *, tell: Callable[[str], None]) -> None:
    """Filter the pairs of all shards in a folder by `settings`, each shard in one transaction, the first of them first.

    Raises RunError, before anything is changed, where the result could be another one than in the merged run: for filters that
    compare pairs with each other, and where a server may have cut prompts. So it does for shards of several runs, and for one
    that a process is writing. `tell` is given what the user should know of the shards, in sentences.
    """
    _require_no_comparison(folder.path, settings)
    directories = [RunDirectory(run) for run in folder.shards.values()]
    allow_open_files(len(directories))
    with ExitStack() as locks:
        for directory in directories:
            locks.enter_context(directory.locked())
        first, *others = [await _facts(folder.path, directory, settings) for directory in directories]
        for other in others:
            require_same_run(first, other)
        if differing := sum(other.filters != first.filters for other in others):
            tell(
                f"{counted(differing, 'shard')} had other filters than {first.path}; all get those of {first.path}, with what "
                "this command changes"
            )
        for directory in directories:
            async with writing(directory) as store:
                await refilter(store, settings, await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER)
    if missing := folder.missing:
        tell(
            f"{folder.path} is without {counted(len(missing), 'shard')}: {shards_named(missing)}; filter again once it is there"
        )


def _require_no_comparison(path: Path, settings: FilterSettings) -> None:
    if found := [one.name for one in settings.filters if one.whole_run and settings.is_in_force(one.name)]:
        raise RunError(
            f"{' and '.join(found)} would have to compare pairs of all shards with each other, and filter sees one shard at a "
            f"time; merge them and filter the merged run: clairgen merge {path} --run RUN{_or_without(found, settings)}"
        )


async def _facts(path: Path, directory: RunDirectory, settings: FilterSettings) -> ShardFacts:
    """What a shard says of itself. Raises RunError where only all shards together can say which prompts a server cut.

    A prompt that was cut in the merged run is, of those of its shard, one that the server counted as the most tokens.
    """
    async with writing(directory) as store:  # a reader may have to wait for the lock that is held here
        facts = await shard_facts(directory.path, store)
        require_all_tasks(facts)
        cut = await store.completions.cut_prompts(
            fewest_tokens=FEWEST_TOKENS, prompts=1, characters_per_token=CHARACTERS_PER_TOKEN
        )
    if cut and settings.is_in_force(CUT_PROMPT.name):
        pair, roles = next(iter(cut.items()))
        raise RunError(
            f"the server of the {roles[0]} may have cut the prompt of the pair {pair} of {directory.path}, which shows only in "
            f"all shards together; merge them and filter the merged run: clairgen merge {path} --run RUN"
            f"{_or_without([CUT_PROMPT.name], settings)}"
        )
    return facts


def _or_without(names: Sequence[str], settings: FilterSettings) -> str:
    """How to filter without these filters, to end a message; empty where a recipe has one of its own, which stays in force."""
    rest = settings.changed({name: {"action": "off"} for name in names})
    if any(map(rest.is_in_force, names)):
        return ""
    return f" (or filter without it: {' '.join(f'--off {name}' for name in names)})"
