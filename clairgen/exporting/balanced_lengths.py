"""The selection of a recipe's pairs in which the length of an answer does not tell whether it is chosen."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from clairgen.metrics.answer_lengths import length_in, unit
from clairgen.metrics.length_balance import LengthShift, PairLength, length_shift, unbalanced
from clairgen.records import Pair, StoredPair

LEFT_OUT_FILE: Final = "left_out.jsonl"
"""Beside the card of an export: the pairs that the selection left out."""


@dataclass(frozen=True, slots=True)
class BalancedLengths:
    """What is left out of the pairs that would be exported, by id with the reason, and the figures of lengths in `unit`."""

    unit: str
    left_out: Mapping[str, str]
    before: LengthShift
    after: LengthShift


async def balanced_lengths(pairs: AsyncIterator[StoredPair], tokenizer: str | None) -> BalancedLengths:
    """The selection among the pairs of a recipe that are exported; `tokenizer` is what lengths are counted in."""
    length, lengths = length_in(tokenizer), []
    async for stored in pairs:
        pair = stored.outcome
        if isinstance(pair, Pair):
            lengths.append(PairLength(stored.id, length(pair.chosen.text) - length(pair.rejected.text)))
    left_out = unbalanced(lengths)
    kept = (one for one in lengths if one.pair_id not in left_out)
    return BalancedLengths(unit(tokenizer), left_out, length_shift(lengths), length_shift(kept))


def left_out_lines(balanced: Mapping[str, BalancedLengths]) -> Iterator[str]:
    """A JSON line for each pair that is left out, by recipe."""
    for recipe, selection in balanced.items():
        for pair_id, reason in selection.left_out.items():
            yield json.dumps({"recipe": recipe, "pair_id": pair_id, "reason": reason}) + "\n"
