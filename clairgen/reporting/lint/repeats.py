"""Pairs and prompts that are there more than once, within a split and across splits: by hashes, not by texts.

A row takes 16 bytes: a hash of its prompt, and one of the pair that is the same whichever answer is chosen but for its last bit.
Hashes are Python's own of 64 bits: among a million rows two that differ have the same one with a chance of one in ten million.

Nearly equal prompts are found by MinHash (Broder 1997), with rensa, which the filter `near_duplicate` uses as well: it takes 2 us
for a prompt. Of each prompt 32 values of 16 bits are kept; two
prompts are compared if the values of one of eight groups of four are all equal, and are nearly the same if at least 26 of the 32
values are, an estimated Jaccard index of four fifths. Each prompt is compared with the first of its groups alone, so that a
template that many prompts share does not make all of them look alike by chance. Of prompts with a Jaccard index of 0.9, 96% are
found, at 0.8 half, at 0.6 one in 200. Sketches take 64 bytes a prompt, and at most `MOST_SKETCHES` are kept: if there are more
prompts, those with the lowest smallest value are, which nearly equal prompts have in common.
"""

import unicodedata
from array import array
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rensa import RMinHash

from clairgen.filters.text import prompt_text, shingles, words
from clairgen.records import Message
from clairgen.row_pairs import RowPair
from clairgen.stats import clustered_share

MOST_SKETCHES: Final = 250_000
_SHINGLE: Final = 3
_SEED: Final = 1
_VALUES: Final = 32
_PER_GROUP: Final = 4
_GROUPS: Final = _VALUES // _PER_GROUP
_ALIKE: Final = 26
_BITS: Final = 16
_LOW: Final = (1 << _BITS) - 1
_64_BITS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Repeat:
    """That a row repeats an earlier one, both by their number among the pairs from 0."""

    row: int
    earlier: int


class PairHashes:
    """The hashes of all pairs, in order; `starts` has the number of the first pair of each split."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self._prompts = array("Q")
        self._pairs = array("Q")
        self._longer = array("b")

    def __len__(self) -> int:
        return len(self._prompts)

    def begin_split(self) -> None:
        """The next pairs are of another split."""
        self.starts.append(len(self))

    def add(self, pair: RowPair) -> None:
        """Add the next pair."""
        prompt = hash(folded_prompt(pair.messages)) & _64_BITS
        chosen, rejected = hash(pair.chosen.strip()), hash(pair.rejected.strip())
        unordered = hash((prompt, min(chosen, rejected), max(chosen, rejected))) & _64_BITS
        self._prompts.append(prompt)
        self._pairs.append(unordered & ~1 | (chosen < rejected))
        difference = len(pair.chosen) - len(pair.rejected)
        self._longer.append(1 + (difference > 0) - (difference < 0))

    def split_of(self, row: int) -> int:
        """The number of the split that a row is in."""
        return bisect(self.starts, row) - 1

    def repeated_pairs(self) -> tuple[list[Repeat], list[Repeat]]:
        """Pairs that repeat an earlier one of their split, and pairs that are an earlier one with its sides swapped."""
        again: list[Repeat] = []
        swapped: list[Repeat] = []
        for rows in self._together([one & ~1 for one in self._pairs]):
            firsts: dict[tuple[int, int], int] = {}
            orientations: dict[int, int] = {}
            for row in rows:
                side = self._pairs[row] & 1
                earlier = firsts.setdefault((side, self.split_of(row)), row)
                if earlier != row:
                    again.append(Repeat(row, earlier))
                opposite = orientations.get(1 - side)
                orientations.setdefault(side, row)
                if opposite is not None:
                    swapped.append(Repeat(row, opposite))
        return _in_order(again), _in_order(swapped)

    def repeated_prompts(self) -> tuple[list[Repeat], list[Repeat]]:
        """Rows whose prompt an earlier row of their split has, with other answers, and rows whose prompt an earlier split has."""
        within: list[Repeat] = []
        across: list[Repeat] = []
        for rows in self._together(self._prompts):
            first = rows[0]
            first_of_split: dict[int, int] = {}
            seen: set[tuple[int, int]] = set()
            for row in rows:
                split = self.split_of(row)
                earlier = first_of_split.setdefault(split, row)
                if earlier != row and (split, self._pairs[row] & ~1) not in seen:
                    within.append(Repeat(row, earlier))
                if split != self.split_of(first):
                    across.append(Repeat(row, first))
                seen.add((split, self._pairs[row] & ~1))
        return _in_order(within), _in_order(across)

    def chosen_longer(self) -> tuple[int, int, float, float, float]:
        """How many chosen answers are longer, and how many shorter; the share, equal lengths as halves, with its interval."""
        totals: dict[tuple[float, float], int] = {}
        alone = bytearray(b"\1" * len(self))
        for rows in self._together(self._prompts):
            key = (float(len(rows)), sum(self._longer[row] for row in rows) / 2)
            totals[key] = totals.get(key, 0) + 1
            for row in rows:
                alone[row] = 0
        for doubled, is_alone in zip(self._longer, alone, strict=True):
            if is_alone:
                totals[1.0, doubled / 2] = totals.get((1.0, doubled / 2), 0) + 1
        share, _, low, high = clustered_share(totals)
        return self._longer.count(2), self._longer.count(0), share, low, high

    def prompt(self, row: int) -> int:
        """The hash of a row's prompt."""
        return self._prompts[row]

    def _together(self, keys: Sequence[int]) -> Iterator[list[int]]:
        """The rows with the same key, in order, of every key that several rows have."""
        groups: dict[int, list[int]] = {one: [] for one, other in pairwise(sorted(keys)) if one == other}
        if groups:
            for row, key in enumerate(keys):
                if key in groups:
                    groups[key].append(row)
        yield from groups.values()


class PromptSketches:
    """MinHash sketches of the prompts of `hashes`, of a bounded number of rows."""

    def __init__(self, hashes: PairHashes, most: int = MOST_SKETCHES) -> None:
        self._hashes = hashes
        self._most = most
        self._highest = _64_BITS
        self._rows = array("Q")
        self._smallest = array("Q")
        self._sketches = array("Q")

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: int, messages: Sequence[Message]) -> None:
        """Add the prompt of a row; one without words is left out."""
        runs = shingles(words(prompt_text(messages)), _SHINGLE)
        if not runs:
            return
        sketch = RMinHash(_VALUES, _SEED)
        sketch.update(runs)
        values = sketch.digest()
        if values[0] > self._highest:
            return
        self._rows.append(row)
        self._smallest.append(values[0])
        for start in range(0, _VALUES, _PER_GROUP):
            group = 0
            for value in values[start : start + _PER_GROUP]:
                group = group << _BITS | value & _LOW
            self._sketches.append(group)
        if len(self._rows) > self._most:
            self._thin()

    def near_duplicates(self) -> list[Repeat]:
        """Rows whose prompt is nearly that of an earlier row, and not the same."""
        earlier: dict[int, int] = {}
        for group in range(_GROUPS):
            firsts: dict[int, int] = {}
            values = self._sketches[group::_GROUPS]
            repeated = {one for one, other in pairwise(sorted(values)) if one == other}
            for at, value in enumerate(values):
                if value not in repeated:
                    continue
                first = firsts.setdefault(value, at)
                if first != at and at not in earlier and self._are_alike(first, at):
                    earlier[at] = first
        return _in_order([Repeat(self._rows[at], self._rows[first]) for at, first in earlier.items()])

    def _are_alike(self, one: int, other: int) -> bool:
        if self._hashes.prompt(self._rows[one]) == self._hashes.prompt(self._rows[other]):
            return False
        pairs = zip(self._values(one), self._values(other), strict=True)
        return sum(first == second for first, second in pairs) >= _ALIKE

    def _values(self, at: int) -> Iterator[int]:
        for group in self._sketches[at * _GROUPS : (at + 1) * _GROUPS]:
            for shift in range(0, _BITS * _PER_GROUP, _BITS):
                yield group >> shift & _LOW

    def _thin(self) -> None:
        """Keep one row of each prompt; if that is not enough, those below the median of the smallest values."""
        first_rows: dict[int, int] = {}
        for at, row in enumerate(self._rows):
            first_rows.setdefault(self._hashes.prompt(row), at)
        kept = sorted(first_rows.values())
        if len(kept) > self._most // 2:
            self._highest = sorted(self._smallest[at] for at in kept)[len(kept) // 2] - 1
            kept = [at for at in kept if self._smallest[at] <= self._highest]
        sketches = array("Q")
        for at in kept:
            sketches.extend(self._sketches[at * _GROUPS : (at + 1) * _GROUPS])
        self._sketches = sketches
        self._rows = array("Q", [self._rows[at] for at in kept])
        self._smallest = array("Q", [self._smallest[at] for at in kept])


def folded_prompt(messages: Sequence[Message]) -> tuple[tuple[str, str], ...]:
    """What is equal for prompts that a reader takes for the same: case, white space and forms of a character do not count."""
    return tuple((message.role, _folded(message.content)) for message in messages)


def _folded(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(text.lower().split())


def _in_order(found: list[Repeat]) -> list[Repeat]:
    return sorted(found, key=lambda one: one.row)
