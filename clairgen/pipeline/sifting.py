"""Filters over the pairs of a run: no model is asked, nothing is deleted."""

from collections.abc import AsyncIterator
from pathlib import Path

from clairgen.filters.settings import FilterSettings
from clairgen.filters.sift import Sieve
from clairgen.metrics import contrast
from clairgen.records import Contrast, StoredPair
from clairgen.store import RunDirectory, Sifted, Store, writing

TOKENISER = "tokeniser"
"""The fact that names the tokeniser of a run's contrasts."""


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


def measure(stored: StoredPair, tokeniser: str) -> Contrast | None:
    """The contrast of a pair: the stored one if it is fresh and under this tokeniser."""
    if stored.pair.chosen is None:
        return None
    if stored.contrast is not None and stored.contrast.tokeniser == tokeniser:
        return stored.contrast
    return contrast(stored.pair.chosen.text, stored.pair.rejected.text, tokeniser)
