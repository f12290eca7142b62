"""The filter pipeline: all filters in force over one pair, and the one that needs the whole run over a run's pairs in order."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from clairgen.filters import rules
from clairgen.filters.contamination import Evaluations, overlaps_evaluation
from clairgen.filters.language import changes_language
from clairgen.filters.lost_answer import loses_answer
from clairgen.filters.near_duplicates import NearDuplicates, near_duplicate_prompt
from clairgen.filters.refusal import refuses
from clairgen.filters.revision_mention import alludes_to_revision
from clairgen.filters.settings import FILTERS, FilterSettings
from clairgen.filters.settings_fields import Range
from clairgen.records import Contrast, FilterAction, Finding, Message, Pair

Prompt: TypeAlias = Sequence[Message]

_ON_PAIRS: Mapping[str, Callable[[Pair, FilterAction], Finding | None]] = {
    "format": rules.broken_format,
    "truncated": rules.truncated,
    "empty": rules.empty,
    "identical": rules.identical,
    "lost_answer": loses_answer,
    "refusal": refuses,
    "language": changes_language,
}
_ON_CONTRAST: Mapping[str, Callable[[Contrast, Range, FilterAction], Finding | None]] = {
    "length_ratio": rules.length_ratio,
    "jaccard": rules.jaccard,
    "levenshtein": rules.levenshtein,
}
_OVER_THE_RUN = "near_duplicate"


class FilterPipeline:
    """Filters as they are set, ready for pairs. Raises ConfigError for an evaluation file that cannot be read."""

    def __init__(self, settings: FilterSettings) -> None:
        self.settings = settings
        contamination = settings.contamination
        in_force = settings.action("contamination", revises=True) is not None
        self._evaluations = Evaluations.read(contamination.files if in_force else (), contamination.ngram)

    def apply(
        self, pair: Pair, contrast: Contrast | None, *, revises: bool, prompt: Prompt = ()
    ) -> tuple[Finding, ...]:
        """What the filters find, at most one finding each, in the order of `FILTERS`: the first drop is the pair's reason.

        The filters on contrast look only at a pair that has a chosen answer and was measured. `revises` is whether the
        recipe revises the rejected answer. Pairs may come in any order, so near duplicates are not looked for: `RunFilters`
        does that.
        """
        measured = contrast if pair.chosen is not None else None
        found = (self._finding(name, pair, measured, prompt, revises=revises) for name in FILTERS)
        return tuple(finding for finding in found if finding is not None)

    def _finding(
        self, name: str, pair: Pair, contrast: Contrast | None, prompt: Prompt, *, revises: bool
    ) -> Finding | None:
        action = self.settings.action(name, revises=revises)
        if action is None or name == _OVER_THE_RUN:
            return None
        if name == "allusion":
            return alludes_to_revision(pair, action, prompt)
        if name == "contamination":
            return overlaps_evaluation(self._evaluations, action, prompt)
        if name in _ON_PAIRS:
            return _ON_PAIRS[name](pair, action)
        return _ON_CONTRAST[name](contrast, self.settings.bounds(name), action) if contrast is not None else None


class RunFilters:
    """Looks for near duplicates among all pairs of one recipe, which have to come in the order of their tasks.

    Only a pair that no other filter drops is looked at and can stand for later ones, so that of near duplicates one is kept
    whenever one can be.
    """

    def __init__(self, settings: FilterSettings) -> None:
        self._action = settings.action(_OVER_THE_RUN, revises=True)
        self._seen = NearDuplicates(settings.near_duplicate.threshold)

    def settle(self, task_id: str, prompt: Prompt, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """The findings of the next pair with, at the end, that of a near duplicate; an older such finding is taken out."""
        others = tuple(finding for finding in findings if finding.filter != _OVER_THE_RUN)
        if self._action is None or any(finding.action is FilterAction.DROP for finding in others):
            return others
        found = near_duplicate_prompt(self._seen, task_id, self._action, prompt)
        return others if found is None else (*others, found)
