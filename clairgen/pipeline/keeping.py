"""Keeping a pair: measured, sifted by the filters in force, and committed in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from clairgen.filters.pipeline import Sieve
from clairgen.metrics.contrast import contrast
from clairgen.recipes.recipe import Ask
from clairgen.records import Completion, Message, Pair
from clairgen.store import MadePair, Store
from clairgen.templates import Template


class Noting:
    """An `Ask` that notes the keys of what it was asked."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.keys: list[str] = []

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        completion = await self._ask(role, messages, sample=sample, template=template)
        self.keys.append(completion.key)
        return completion


@dataclass(frozen=True, slots=True)
class Keeper:
    """Puts pairs into a store under the filter set `filter_set`, which `sieve` applies."""

    store: Store
    sieve: Sieve
    filter_set: int
    tokeniser: str

    async def keep(self, pair: Pair, prompt: Sequence[Message], asked: Sequence[str], *, revises: bool) -> None:
        """Commit a pair; `prompt` is what the target saw, `asked` the keys of all completions that the pair took."""
        measured = contrast(pair.chosen.text, pair.rejected.text, self.tokeniser) if pair.chosen else None
        findings = self.sieve.sift(pair, measured, revises=revises, prompt=prompt)
        await self.store.pairs.save(MadePair(pair, tuple(prompt), measured, findings, tuple(asked)), self.filter_set)
