"""The stored pairs of a run one by one, what models said of them, and what filters find in them."""

import random
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clairgen.errors import InputError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import reason_to_skip
from clairgen.records import StoredPair
from clairgen.store import (
    CastVote,
    JudgeReply,
    PairChoice,
    RunDirectory,
    ScoreReply,
    Thoughts,
    reading,
    runs_inside,
    shard_folder,
    summed_counts,
)
from clairgen.wording import one_line_repr

_LONGEST_ID = 10_000  # beyond that SQLite refuses the pattern


async def find_pairs(run: Path | str, start: str | None = None, recipe: str | None = None) -> list[StoredPair]:
    """Made pairs whose id begins with `start` or whose task has that id; without `start` the first pair, of `recipe` if named."""
    directory = RunDirectory(Path(run))
    async with reading(directory, snapshot=True) as store:
        if start is not None:
            return [
                stored
                for stored in await store.pairs.find(start[:_LONGEST_ID])
                if recipe in (None, stored.outcome.recipe)
            ]
        for name in await store.metadata.plans() if recipe is None else [recipe]:
            async for stored in store.pairs.made(name):
                return [stored]
    return []


@dataclass(frozen=True, slots=True)
class ChosenPair:
    """A pair among `count` that were chosen, `number` of them, and how many more pairs its task has; `pair` is None for none."""

    pair: StoredPair | None
    number: int
    count: int
    others_of_task: int = 0

    def __repr__(self) -> str:
        return one_line_repr(self, "none" if self.pair is None else self.pair.id, f"{self.number:,} of {self.count:,}")


async def choose_pair(run: Path | str, choice: PairChoice, number: int | None = None) -> ChosenPair:
    """The pair of this number (from 1) among the chosen ones, a random one without a number.

    Raises InputError for a recipe that the run does not have and a reason by which it drops no pair.
    """
    async with reading(RunDirectory(Path(run))) as store:
        plans = list(await store.metadata.plans())
        if choice.recipe is not None and choice.recipe not in plans:
            raise InputError(
                f"{run} has no pair that was made by {choice.recipe}; its recipes are {', '.join(plans) or 'none yet'}"
            )
        count = await store.chosen.count(choice)
        if not count and choice.dropped is not None:
            reasons = sorted({reason for counts in (await store.pairs.dropped()).values() for reason in counts})
            raise InputError(
                f"no such pair of {run} is dropped for {choice.dropped!r}; reasons of this run: {', '.join(reasons) or 'none'}"
            )
        number = number or random.randint(1, max(count, 1))  # noqa: S311 - which pair a person looks at
        pair = await store.chosen.nth(choice, number)
        others = await store.pairs.of_task(pair.task.id, plans) - 1 if pair is not None else 0
        return ChosenPair(pair, number, count, others)


async def find_in_shards(folder: Path | str, start: str, recipe: str | None = None) -> list[tuple[Path, StoredPair]]:
    """Made pairs as `find_pairs` finds them, in all shards in a folder, with the run directory that each is in."""
    runs = (await shard_folder(Path(folder))).shards.values()
    return [(run, stored) for run in runs for stored in await find_pairs(run, start, recipe)]


async def choose_in_shards(
    folder: Path | str, choice: PairChoice, number: int | None = None
) -> tuple[Path, ChosenPair]:
    """The pair of this number among the chosen ones of all shards in a folder, shard after shard, and the run that it is in.

    Raises InputError as `choose_pair` does, where no shard has such pairs.
    """
    runs, counts = list((await shard_folder(Path(folder))).shards.values()), []
    refused: InputError | None = None
    for run in runs:
        try:
            counts.append((await choose_pair(run, choice, 1)).count)
        except InputError as error:
            counts.append(0)
            refused = error
    if refused is not None and not any(counts):
        raise refused
    total = sum(counts)
    number = number or random.randint(1, max(total, 1))  # noqa: S311 - which pair a person looks at
    before = 0
    for run, count in zip(runs, counts, strict=True):
        if number <= before + count:
            return run, replace(await choose_pair(run, choice, number - before), number=number, count=total)
        before += count
    return Path(folder), ChosenPair(None, number, total)


async def recipe_behind(run: Path | str, name: str) -> str:
    """The recipe that a run has under this name, which is another one where its configuration says `as`."""
    async with reading(RunDirectory(Path(run))) as store:
        plan = (await store.metadata.plans()).get(name)
    return name if plan is None else plan.made_by


async def judge_replies(run: Path | str, stored: StoredPair) -> list[JudgeReply]:
    """What judges wrote about the answers to a pair's task in its recipe; empty where none was asked."""
    async with reading(RunDirectory(Path(run))) as store:
        return await store.judgements.replies(stored.task.id, stored.outcome.recipe)


async def score_replies(run: Path | str, stored: StoredPair) -> list[ScoreReply]:
    """What scorers wrote about the answers to a pair's task in its recipe; empty where none was asked for a text."""
    async with reading(RunDirectory(Path(run))) as store:
        return await store.scores.replies(stored.id)


async def thoughts(run: Path | str, stored: StoredPair) -> list[Thoughts]:
    """What the models thought that a pair is from: those that answered, the reviser, the judges; empty where none did."""
    async with reading(RunDirectory(Path(run))) as store:
        found = [await store.completions.thoughts(key) for key in await store.pairs.request_keys(stored.id)]
    return [one for one in found if one is not None and one.text]


async def votes(run: Path | str, stored: StoredPair) -> list[CastVote]:
    """What people said of a pair with `clairgen vote`, the latest vote of each."""
    async with reading(RunDirectory(Path(run))) as store:
        return await store.votes.of_pair(stored.id)


async def filters_in_force(run: Path | str) -> FilterSettings | None:
    """The filters that the pairs of a run were last filtered by; None before the first."""
    async with reading(RunDirectory(Path(run))) as store:
        in_force = await store.filter_sets.in_force()
        return FilterSettings.from_record(in_force[1]) if in_force else None


async def recipes_of(run: Path | str, names: Sequence[str]) -> tuple[str, ...]:
    """`names`, if the run has a recipe (or imported pairs) of each; InputError otherwise."""
    async with reading(RunDirectory(Path(run))) as store:
        plans = await store.metadata.plans()
    require_recipes(run, plans, names)
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class FilterCounts:
    """Pairs by recipe: how many have which status, and how many the filters in force drop and mark for which reason."""

    statuses: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, int]]
    marked: dict[str, dict[str, int]]


async def filtered(run: Path | str) -> FilterCounts:
    """What the filters in force find in the pairs of a run, or of all shards in a folder."""
    counts = []
    for one in runs_inside(Path(run)) or [Path(run)]:
        async with reading(RunDirectory(one), snapshot=True) as store:
            pairs = store.pairs
            counts.append((await pairs.statuses(), await pairs.dropped(), await pairs.marked()))
    return FilterCounts(*map(summed_counts, zip(*counts, strict=True)))


async def pairs(run: Path | str, recipe: str | None = None, *, kept: bool = True) -> AsyncGenerator[StoredPair, None]:
    """The made pairs of a run, or of one recipe, in the order of their tasks, a page in memory at a time.

    `kept` leaves out those that a filter drops or in which nothing was decided. Raises InputError for a recipe that the run does
    not have.
    """
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        plans = list(await store.metadata.plans())
        require_recipes(run, plans, [] if recipe is None else [recipe])
        for name in plans if recipe is None else [recipe]:
            async for stored in store.pairs.made(name):
                if not kept or reason_to_skip(stored) is None:
                    yield stored


async def made_pairs(run: Path | str, recipe: str) -> list[StoredPair]:
    """All made pairs of a recipe as a list in memory; for small runs."""
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        return [stored async for stored in store.pairs.made(recipe)]


def require_recipes(run: Path | str, plans: Collection[str], names: Sequence[str]) -> None:
    """Raise InputError for the name of a recipe that the run does not have."""
    for name in names:
        if name not in plans:
            raise InputError(f"the run {run} has no recipe {name!r}; it has {', '.join(plans) or 'none yet'}")
