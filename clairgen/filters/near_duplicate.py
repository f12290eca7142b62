"""The filter `near_duplicate`: prompts that say nearly the same as an earlier one. Equal prompts are merged when tasks are read.

The filter compares pairs with each other, so it has a state and needs the prompts in the order of their tasks. Prompts are
compared by the MinHash of their three-word runs: the Jaccard index is estimated to within about 0.05, and of near duplicates
exactly at the threshold one in twenty is overlooked. A prompt takes 2 KB whatever its length: 2 GB for a million, which take a
minute.
"""

from pydantic import Field
from rensa import RMinHash, RMinHashDeduplicator

from clairgen.filters.filter import Candidate, Check, Fault, Filter
from clairgen.filters.options import Action, Marking
from clairgen.filters.text import prompt_text, shingles, words

_SHINGLE = 3
_SLOTS = 60
_FOUND = 0.95
"""The least probability that two prompts exactly at the threshold are found; above the threshold it is higher."""
_SEED = 1


class NearDuplicate(Marking):
    """How similar two prompts are that count as near duplicates."""

    action: Action = Field(
        "off", description="What to do with such a pair; off by default, since it takes 2 KB of memory a prompt."
    )
    threshold: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Jaccard index of three-word runs from which on two prompts are nearly the same; lower it to find more.",
    )

    @property
    def limits(self) -> str:
        """The threshold in words."""
        return f"at least {self.threshold:g}"


class NearDuplicates:
    """The prompts seen so far, except those that are a near duplicate of an earlier one."""

    def __init__(self, threshold: float) -> None:
        self._seen = RMinHashDeduplicator(threshold, _SLOTS, True, _bands(threshold), _SEED)
        self._ids: list[str] = []

    def earlier(self, task_id: str, text: str) -> str | None:
        """The id of the first task whose prompt is nearly this one; None for a new prompt, which is remembered."""
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
    """The fewest bands, since each costs memory, with which two prompts at the threshold share a band often enough."""
    counts = (bands for bands in range(1, _SLOTS + 1) if _SLOTS % bands == 0)
    return next(
        bands for bands in counts if 1 - (1 - threshold ** (_SLOTS // bands)) ** bands >= _FOUND or bands == _SLOTS
    )


def repeats_prompt(options: NearDuplicate) -> Check:
    """The check that no earlier task asks nearly the same; its value is the id of that task."""
    seen = NearDuplicates(options.threshold)

    def check(candidate: Candidate) -> Fault | None:
        earlier = seen.earlier(candidate.pair.task_id, prompt_text(candidate.prompt))
        return None if earlier is None else Fault("near-duplicate-prompt", earlier)

    return check


NEAR_DUPLICATE = Filter(
    name="near_duplicate",
    options=NearDuplicate,
    summary="Prompts that are nearly an earlier one of the same recipe's kept pairs; seen when the whole run is.",
    prepare=repeats_prompt,
    whole_run=True,
)
