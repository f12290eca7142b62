"""Keeping a pair: measured, sifted by the filters in force, and committed in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from clairgen.filters.sift import Sieve
from clairgen.metrics import contrast
from clairgen.records import Message, Pair
from clairgen.store import MadePair, Store


@dataclass(frozen=True, slots=True)
class Keeper:
    """Puts pairs into a store under the filter set `filter_set`, which `sieve` applies."""

    store: Store
    sieve: Sieve
    filter_set: int
    tokeniser: str

    async def keep(self, pair: Pair, prompt: Sequence[Message], *, revises: bool) -> None:
        """Commit a pair; `prompt` is what the target saw."""
        measured = contrast(pair.chosen.text, pair.rejected.text, self.tokeniser) if pair.chosen else None
        findings = self.sieve.sift(pair, measured, revises=revises, prompt=prompt)
        await self.store.pairs.save(MadePair(pair, tuple(prompt), measured, findings), self.filter_set)
