"""The thoughts of a pair's answers, as an export with `thinking: keep` has them beside each answer.

A revision has no thoughts of its own: those of the reviser or editor are about the answer that it revises, and are never
exported. It stands after the thoughts of that answer, so that the two sides differ in the answer alone. A pair of which only
one side was thought about is left out, since the thoughts themselves would tell the better answer from the other.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from clairgen.records import Pair, Undecided
from clairgen.store import Store

ONE_SIDED: Final = "thinking-on-one-side"
"""The reason for which a pair is left out that has thoughts on one side only."""
_REVISERS: Final = frozenset({"reviser", "editor"})


class Thinking(StrEnum):
    """Whether an export leaves thoughts out or has them beside their answers."""

    DROP = "drop"
    KEEP = "keep"


class ThinkingField(StrEnum):
    """The field of an assistant message that holds its thoughts, by the chat templates that read it.

    Qwen3, GLM, Nemotron, Gemma and most others read `reasoning_content`, gpt-oss and LFM2.5 `thinking`.
    """

    REASONING_CONTENT = "reasoning_content"
    THINKING = "thinking"


@dataclass(frozen=True, slots=True)
class PairThoughts:
    """What was thought before each answer of a pair; empty without any."""

    chosen: str = ""
    rejected: str = ""

    @property
    def is_one_sided(self) -> bool:
        """Whether there are thoughts on one side only."""
        return bool(self.chosen) != bool(self.rejected)


NO_THOUGHTS: Final = PairThoughts()
"""Those of answers that nobody thought before, or whose thoughts an export leaves out."""


async def thoughts_of_pair(store: Store, pair: Pair | Undecided) -> PairThoughts:
    """The thoughts of both answers, none where nothing was decided; a revision has those of the answer that it revises."""
    if isinstance(pair, Undecided):
        return NO_THOUGHTS
    chosen, rejected = [
        await store.completions.thoughts(answer.key) if answer.key else None for answer in (pair.chosen, pair.rejected)
    ]
    if chosen is not None and chosen.role in _REVISERS:
        chosen = rejected
    elif rejected is not None and rejected.role in _REVISERS:
        rejected = chosen
    return PairThoughts(*("" if found is None else found.text for found in (chosen, rejected)))
