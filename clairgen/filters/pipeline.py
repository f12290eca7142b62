"""The filter pipeline: all filters in force over one pair, or over all pairs of a recipe; and which pairs are not exported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from clairgen.errors import RunStoppedError
from clairgen.filters.filter import Candidate, Check, Fault, Filter
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.identical import IDENTICAL, is_identical
from clairgen.filters.options import Bounds, Range
from clairgen.filters.registry import FILTERS
from clairgen.records import Answer, Contrast, FilterAction, Finding, Message, Pair, StoredPair, Undecided

Seen = TypeVar("Seen", Candidate, Undecided)
_NO_ANSWER: Final = Answer("", "stop", "", "")


@dataclass(frozen=True, slots=True)
class StoredCheck:
    """How what a filter finds follows from what is stored of a pair besides its texts.

    It finds the `fault` in each pair, or a value of the metric of its own name outside of the `bounds`; without either, what it
    found in the pair before.
    """

    filter: str
    action: FilterAction
    bounds: Range | None = None
    fault: Fault | None = None


class FilterPipeline:
    """Filters with their options, ready for pairs. Raises ConfigError for a filter that cannot be prepared.

    `before` are settings that the pairs were filtered by with the same version of the filters: what a filter found then is not
    looked for again if its options are the same but for its action.
    """

    def __init__(self, settings: FilterSettings, before: FilterSettings | None = None) -> None:
        self.settings = settings
        own = {*settings.recipes, *(before.recipes if before is not None else ())}
        self._of_recipes = {
            recipe: FilterPipeline(settings.of(recipe).alone, None if before is None else before.of(recipe).alone)
            for recipe in sorted(own)
        }
        checks = _prepared(settings, whole_run=False)
        self._in_force = {
            revises: [(one, action, checks.get(one.name)) for one, action in _in_force(settings, revises=revises)]
            for revises in (True, False)
        }
        self._known = {revises: _known(settings, before, revises=revises) for revises in (True, False)}
        self._unknown = {
            revises: [entry for entry in entries if entry[0].name not in self._known[revises]]
            for revises, entries in self._in_force.items()
        }

    def stored_checks(self, recipe: str, *, revises: bool) -> list[StoredCheck] | None:
        """The filters of a recipe's pairs in their order, as checks of what is stored of a pair; None if one needs its texts.

        They find what `apply` does in a measured pair whose findings under the settings `before` are known, of which no prompt is
        known to be cut and on which nobody voted.
        """
        if (own := self._of_recipes.get(recipe)) is not None:
            return own.stored_checks(recipe, revises=revises)
        if not all(one.reads_no_text and one.name in FILTERS.built_in for one, _, _ in self._unknown[revises]):
            return None
        pair = Candidate(Pair("", recipe, _NO_ANSWER, _NO_ANSWER))
        found = []
        for one, action, check in self._in_force[revises]:
            options = self.settings[one.name]
            if one.name in self._known[revises]:
                found.append(StoredCheck(one.name, action))
            elif isinstance(options, Bounds):
                found.append(StoredCheck(one.name, action, bounds=options.bounds))
            elif check is not None and (fault := check(pair)) is not None:
                found.append(StoredCheck(one.name, action, fault=fault))
        return found

    def apply(
        self,
        outcome: Pair | Undecided,
        contrast: Contrast | None,
        *,
        revises: bool,
        prompt: Sequence[Message] = (),
        cut_prompts: Sequence[str] = (),
        source_columns: Mapping[str, Any] = MappingProxyType({}),
        votes: Sequence[str] = (),
        found: Sequence[Finding] | None = None,
    ) -> tuple[Finding, ...]:
        """What the filters find, at most one finding each, in their order: the first drop is the pair's reason.

        `revises` is whether the recipe revises the rejected answer, `votes` what people say of the pair, `found` what was
        found in this pair under the settings `before`. Pairs may come in any order, so filters that compare pairs with each other
        are left to `RunFilters`.
        """
        if (own := self._of_recipes.get(outcome.recipe)) is not None:
            return own.apply(
                outcome,
                contrast,
                revises=revises,
                prompt=prompt,
                cut_prompts=cut_prompts,
                source_columns=source_columns,
                votes=votes,
                found=found,
            )
        known = self._known[revises]
        earlier = {finding.filter: finding for finding in found or () if finding.filter in known}
        candidate = (
            Candidate(outcome, contrast, prompt, cut_prompts, source_columns, votes)
            if isinstance(outcome, Pair)
            else None
        )
        findings: list[Finding] = []
        for one, action, check in self._in_force[revises] if found is None or earlier else self._unknown[revises]:
            if found is not None and one.name in known:
                if (same := earlier.get(one.name)) is not None:
                    findings.append(Finding(one.name, action, same.reason, same.value))
            elif candidate is not None:
                _look(one, action, check, candidate, findings, candidate.pair.task_id)
            elif isinstance(outcome, Undecided):
                _look(one, action, one.undecided, outcome, findings, outcome.task_id)
        return tuple(findings)


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
            _look(one, action, self._checks[one.name], candidate, settled, outcome.task_id)
        return tuple(settled)


def reason_to_skip(stored: StoredPair, *, keep_identical: bool = False) -> str | None:
    """A filter dropped the pair, or it has no two different answers to learn from; None for a pair that is exported.

    `keep_identical` exports two equal answers all the same, unless another filter drops the pair too.
    """
    for finding in stored.findings:
        if finding.action is FilterAction.DROP and not (keep_identical and finding.filter == IDENTICAL.name):
            return finding.reason
    if isinstance(stored.outcome, Undecided):
        return stored.outcome.reason.value
    # An identical pair gives APO-zero a constant loss and makes APO-down push the answer down: it is not exported unasked.
    return "identical" if is_identical(stored.outcome) and not keep_identical else None


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


def _known(settings: FilterSettings, before: FilterSettings | None, *, revises: bool) -> frozenset[str]:
    """The filters that find now what they found under the settings `before`.

    Left out are those of plugins, whose versions are not known, those that look at more than the pair, and bounds: they take no
    time, and the contrast may have been measured again.
    """
    if before is None:
        return frozenset()
    then = {one.name for one, _ in _in_force(before, revises=revises)}
    return frozenset(
        one.name
        for one, _ in _in_force(settings, revises=revises)
        if one.name in then
        and one.name in FILTERS.built_in
        and not (one.whole_run or one.depends_on_others or issubclass(one.options, Bounds))
        and settings[one.name].model_dump(exclude={"action"}) == before[one.name].model_dump(exclude={"action"})
    )


def _look(
    one: Filter[Any],
    action: FilterAction,
    check: Callable[[Seen], Fault | None] | None,
    seen: Seen,
    findings: list[Finding],
    task_id: str,
) -> None:
    """Add what a check finds. RunStoppedError if the check of a plugin fails, since it would fail on the next pair too."""
    if check is None:
        return
    try:
        fault = check(seen)
        if fault is None:
            return
        if not isinstance(fault, Fault):
            raise TypeError(f"it returned {fault!r}, which is not a Fault")
    except Exception as error:
        if one.name in FILTERS.built_in:
            raise
        raise RunStoppedError(
            f"the filter {one.name!r} failed on the pair of task {task_id!r} ({type(error).__name__}: {error}); fix it or leave "
            "it out of the filters, then run the command again"
        ) from error
    findings.append(Finding(one.name, action, fault.reason, fault.value))
