"""The sieve: all filters in force over one pair."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clairgen.filters import rules
from clairgen.filters.forms import Range
from clairgen.filters.settings import FILTERS, FilterSettings
from clairgen.records import Contrast, FilterAction, Finding, Pair

_ON_PAIRS: Mapping[str, Callable[[Pair, FilterAction], Finding | None]] = {
    "format": rules.broken_format,
    "truncated": rules.truncated,
    "empty": rules.empty,
    "identical": rules.identical,
}
_ON_CONTRAST: Mapping[str, Callable[[Contrast, Range, FilterAction], Finding | None]] = {
    "length_ratio": rules.length_ratio,
    "jaccard": rules.jaccard,
    "levenshtein": rules.levenshtein,
}


@dataclass(frozen=True, slots=True)
class Sieve:
    """Filters as they are set, ready for pairs."""

    settings: FilterSettings

    def sift(self, pair: Pair, contrast: Contrast | None, *, revises: bool) -> tuple[Finding, ...]:
        """What the filters find, at most one finding each, in the order of `FILTERS`: the first drop is the pair's reason.

        The filters on contrast look only at a pair that has a chosen answer and was measured. `revises` is whether the
        recipe revises the rejected answer.
        """
        measured = contrast if pair.chosen is not None else None
        found = (self._finding(name, pair, measured, revises=revises) for name in FILTERS)
        return tuple(finding for finding in found if finding is not None)

    def _finding(self, name: str, pair: Pair, contrast: Contrast | None, *, revises: bool) -> Finding | None:
        action = self.settings.action(name, revises=revises)
        if action is None:
            return None
        if name in _ON_PAIRS:
            return _ON_PAIRS[name](pair, action)
        return _ON_CONTRAST[name](contrast, self.settings.bounds(name), action) if contrast is not None else None
