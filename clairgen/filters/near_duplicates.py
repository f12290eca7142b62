"""Near duplicates: prompts that say nearly the same as an earlier one. Exactly equal ones are merged when tasks are read.

This is no matter of one pair, so it has a state and is told the prompts in the order of their tasks. Prompts are compared by
the MinHash of their three-word runs: the Jaccard index is estimated to within about 0.05, one near duplicate in twenty at the
threshold itself is overlooked. A prompt takes 2 KB whatever its length: 2 GB for a million, looked through in a minute.
"""

from collections.abc import Sequence

from rensa import RMinHash, RMinHashDeduplicator

from clairgen.filters.text import asked_text, shingles, words
from clairgen.records import FilterAction, Finding, Message

_SHINGLE = 3
_SLOTS = 60
_FOUND = 0.95
"""The probability with which a pair at the threshold is found; above it is higher."""
_SEED = 1


class NearDuplicates:
    """The prompts seen so far, of which each has no near duplicate among the earlier ones."""

    def __init__(self, threshold: float) -> None:
        self._seen = RMinHashDeduplicator(threshold, _SLOTS, True, _bands(threshold), _SEED)
        self._ids: list[str] = []

    def earlier(self, task_id: str, text: str) -> str | None:
        """The id of the first task whose prompt is nearly this one; None, and remembered, for a prompt that is new."""
        runs = shingles(words(text), _SHINGLE)
        if not runs:
            return None
        sketch = RMinHash(_SLOTS, _SEED)
        sketch.update(runs)
        found = self._seen.get_duplicates(sketch)
        if found:
            return self._ids[min(int(number) for number in found)]
        self._seen.add(str(len(self._ids)), sketch)
        self._ids.append(task_id)
        return None


def _bands(threshold: float) -> int:
    """The fewest bands, since each costs memory, of which two prompts at the threshold share one often enough."""
    counts = (bands for bands in range(1, _SLOTS + 1) if _SLOTS % bands == 0)
    return next(
        bands for bands in counts if 1 - (1 - threshold ** (_SLOTS // bands)) ** bands >= _FOUND or bands == _SLOTS
    )


def near_duplicate_prompt(
    seen: NearDuplicates, task_id: str, action: FilterAction, prompt: Sequence[Message]
) -> Finding | None:
    """An earlier task asks nearly the same; the value is its id."""
    earlier = seen.earlier(task_id, asked_text(prompt))
    return Finding("near_duplicate", action, "near-duplicate-prompt", earlier) if earlier is not None else None
