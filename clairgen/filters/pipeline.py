"""The filter pipeline: all filters in force over one pair, or over all pairs of a recipe; and which pairs are not exported."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from clairgen.errors import RunStoppedError
from clairgen.filters.filter import Candidate, Check, Fault, Filter
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.identical import is_identical
from clairgen.filters.registry import FILTERS
from clairgen.records import Contrast, FilterAction, Finding, Message, Pair, StoredPair, Undecided

Seen = TypeVar("Seen", Candidate, Undecided)


class FilterPipeline:
    """Filters with their options, ready for pairs. Raises ConfigError for a filter that cannot be prepared."""

    def __init__(self, settings: FilterSettings) -> None:
        self.settings = settings
        self._in_force = {revises: _in_force(settings, revises=revises) for revises in (True, False)}
        self._checks = _prepared(settings, whole_run=False)

    def apply(
        self, outcome: Pair | Undecided, contrast: Contrast | None, *, revises: bool, prompt: Sequence[Message] = ()
    ) -> tuple[Finding, ...]:
        """What the filters find, at most one finding each, in their order: the first drop is the pair's reason.

        `revises` is whether the recipe revises the rejected answer. Pairs may come in any order, so filters that compare pairs
        with each other are left to `RunFilters`.
        """
        found: list[Finding | None] = []
        for one, action in self._in_force[revises]:
            match outcome:
                case Undecided():
                    found.append(_finding(one, action, one.undecided, outcome, outcome.task_id))
                case Pair():
                    candidate = Candidate(outcome, contrast, prompt)
                    found.append(_finding(one, action, self._checks.get(one.name), candidate, outcome.task_id))
        return tuple(finding for finding in found if finding is not None)


class RunFilters:
    """The filters that compare pairs, over all pairs of one recipe, which have to come in the order of their tasks.

    Only a pair that no other filter drops is looked at and can stand for later ones, so that of near duplicates one is kept
    whenever one can be. `revises` is whether the recipe revises the rejected answer.
    """

    def __init__(self, settings: FilterSettings, *, revises: bool) -> None:
        self._names = {one.name for one in settings.filters if one.whole_run}
        self._in_force = [(one, action) for one, action in _in_force(settings, revises=revises) if one.whole_run]
        self._checks = _prepared(settings, whole_run=True)

    def settle(
        self,
        outcome: Pair | Undecided,
        contrast: Contrast | None,
        findings: Sequence[Finding],
        *,
        prompt: Sequence[Message] = (),
    ) -> tuple[Finding, ...]:
        """The findings of the next pair, with those of these filters at the end; their older ones are removed."""
        settled = [finding for finding in findings if finding.filter not in self._names]
        for one, action in self._in_force:
            if isinstance(outcome, Undecided) or any(finding.action is FilterAction.DROP for finding in settled):
                break
            candidate = Candidate(outcome, contrast, prompt)
            found = _finding(one, action, self._checks[one.name], candidate, outcome.task_id)
            settled += [] if found is None else [found]
        return tuple(settled)


def reason_to_skip(stored: StoredPair) -> str | None:
    """A filter dropped the pair, or it has no two different answers to learn from; None for a pair that is exported."""
    if stored.dropped_by is not None:
        return stored.dropped_by.reason
    if isinstance(stored.outcome, Undecided):
        return stored.outcome.reason.value
    # An identical pair gives APO-zero a constant loss and makes APO-down push the answer down: never export it.
    return "identical" if is_identical(stored.outcome) else None


def _in_force(settings: FilterSettings, *, revises: bool) -> list[tuple[Filter[Any], FilterAction]]:
    """The filters that look at the pairs of a recipe, in their order, and what each does with what it finds."""
    actions = ((one, settings.action(one.name, revises=revises)) for one in settings.filters)
    return [(one, action) for one, action in actions if action is not None]


def _prepared(settings: FilterSettings, *, whole_run: bool) -> dict[str, Check]:
    return {
        one.name: one.prepare(settings[one.name])
        for one, _ in _in_force(settings, revises=True)
        if one.whole_run is whole_run and one.prepare is not None
    }


def _finding(
    one: Filter[Any], action: FilterAction, check: Callable[[Seen], Fault | None] | None, seen: Seen, task_id: str
) -> Finding | None:
    """What a check finds. RunStoppedError if the check of a plugin fails, since it would fail on the next pair too."""
    try:
        fault = None if check is None else check(seen)
        if fault is not None and not isinstance(fault, Fault):
            raise TypeError(f"it returned {fault!r}, which is not a Fault")
    except Exception as error:
        if one.name in FILTERS.built_in:
            raise
        raise RunStoppedError(
            f"the filter {one.name!r} failed on the pair of task {task_id!r} ({type(error).__name__}: {error}); fix it or leave "
            "it out of the filters, then run the command again"
        ) from error
    return None if fault is None else Finding(one.name, action, fault.reason, fault.value)
