"""By how much chosen is the longer answer, in a recipe's pairs: those made, those kept, and a balanced selection of these."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from clairgen.metrics.answer_lengths import length_in, unit
from clairgen.metrics.length_balance import LengthShift, PairLength, length_shift, unbalanced
from clairgen.records import Pair, StoredPair


@dataclass(frozen=True, slots=True)
class LengthFigures:
    """Length differences in `unit`: of the pairs with two answers, of the kept ones, and of those that a balanced export has."""

    unit: str
    made: LengthShift
    kept: LengthShift
    balanced: LengthShift

    @property
    def rows(self) -> Iterator[tuple[str, LengthShift]]:
        """What is measured, and its figures; the kept pairs alone where they are all that were made."""
        if self.made.n != self.kept.n:
            yield "made", self.made
        yield "kept", self.kept
        yield "kept, lengths balanced", self.balanced

    def to_json(self) -> dict[str, Any]:
        """The stable object of `report --json`."""
        shifts = {"made": self.made, "kept": self.kept, "balanced": self.balanced}
        return {"unit": self.unit} | {name: shift.to_json() for name, shift in shifts.items()}


class Lengths:
    """Accumulates the length differences of a recipe's pairs whose task `takes` accepts; `tokenizer` as in `length_in`."""

    def __init__(self, tokenizer: str | None, takes: Callable[[str], bool]) -> None:
        self._unit, self._length, self._takes = unit(tokenizer), length_in(tokenizer), takes
        self._kept: list[PairLength] = []
        self._dropped: list[PairLength] = []

    def add(self, stored: StoredPair) -> None:
        """Add a pair that has both answers."""
        pair = stored.outcome
        if isinstance(pair, Pair) and self._takes(stored.task.id):
            one = PairLength(stored.id, self._length(pair.chosen.text) - self._length(pair.rejected.text))
            (self._kept if stored.dropped_by is None else self._dropped).append(one)

    def figures(self) -> LengthFigures | None:
        """The figures so far; None without a pair."""
        if not self._kept and not self._dropped:
            return None
        left_out = unbalanced(self._kept)
        balanced = (one for one in self._kept if one.pair_id not in left_out)
        made = (*self._kept, *self._dropped)
        return LengthFigures(self._unit, length_shift(made), length_shift(self._kept), length_shift(balanced))
