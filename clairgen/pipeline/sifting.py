"""Filters over the store, and a newer parser over stored answers: no model is asked, nothing is deleted."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from clairgen.errors import RunError
from clairgen.filters.settings import FilterSettings
from clairgen.filters.sift import Sieve
from clairgen.metrics import contrast
from clairgen.parsing import PARSER_VERSION
from clairgen.recipes.book import BOOK
from clairgen.records import Contrast, StoredPair
from clairgen.store import MadePair, RunDirectory, Sifted, Store, writing

TOKENISER = "tokeniser"
"""The fact that names the tokeniser of a run's contrasts."""


@dataclass(frozen=True, slots=True)
class Reparsed:
    """What a newer parser changed: answers read again, pairs that came out otherwise, answers gone with no key."""

    read: int
    changed: int
    recovered: int


async def filter_pairs(run: Path | str, settings: FilterSettings) -> int:
    """Put `settings` in force over all pairs of a run, in one transaction; the id of the new filter set."""
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            return await sift_all(store, settings, await store.facts.get(TOKENISER) or "treebank")


async def sift_all(store: Store, settings: FilterSettings, tokeniser: str) -> int:
    """Sift all made pairs anew; those whose contrast is under another tokeniser are measured again."""

    async def sifted() -> AsyncIterator[Sifted]:
        sieve = Sieve(settings)
        for plan in (await store.facts.plans()).values():
            async for stored in store.pairs.made(plan.recipe):
                measured = measure(stored, tokeniser)
                findings = sieve.sift(stored.pair, measured, revises=plan.revises)
                yield Sifted(stored.id, findings, measured if measured is not stored.contrast else None)

    return await store.filter_sets.replace(settings.model_dump_json(), sifted())


async def reparse(run: Path | str, *, every: bool = False) -> Reparsed:
    """Run this version's parser over stored answers that an older one read, or over `every` answer."""
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            return await _reparse(store, every=every)


def measure(stored: StoredPair, tokeniser: str) -> Contrast | None:
    """The contrast of a pair: the stored one if it is fresh and under this tokeniser."""
    if stored.pair.chosen is None:
        return None
    if stored.contrast is not None and stored.contrast.tokeniser == tokeniser:
        return stored.contrast
    return contrast(stored.pair.chosen.text, stored.pair.rejected.text, tokeniser)


async def _reparse(store: Store, *, every: bool) -> Reparsed:
    in_force = await store.filter_sets.in_force()
    if in_force is None:
        raise RunError("this run has no pairs yet; run generate first")
    filter_set, settings = in_force
    sieve = Sieve(FilterSettings.model_validate_json(settings))
    tokeniser = await store.facts.get(TOKENISER) or "treebank"
    read = changed = recovered = 0
    for plan in (await store.facts.plans()).values():
        reread = BOOK[plan.recipe].reread if plan.recipe in BOOK else None
        if reread is None:
            continue
        async for stored in store.pairs.made(plan.recipe):
            answered = stored.pair.chosen or stored.pair.unparsed
            if answered is None or (stored.pair.parser_version == PARSER_VERSION and not every):
                continue
            completion = await store.completions.find(answered.key)
            if completion is None:
                continue
            whole = type(answered)(completion.text, completion.finish_reason, completion.key, completion.model)
            pair = reread(stored.pair, whole)
            read += 1
            changed += pair.chosen != stored.pair.chosen
            recovered += pair.chosen is not None and stored.pair.chosen is None
            measured = contrast(pair.chosen.text, pair.rejected.text, tokeniser) if pair.chosen else None
            findings = sieve.sift(pair, measured, revises=plan.revises)
            await store.pairs.save(MadePair(pair, stored.task.messages, measured, findings), filter_set)
    return Reparsed(read, changed, recovered)
