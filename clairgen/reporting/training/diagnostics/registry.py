"""The registry of diagnostics, and what to keep in mind when comparing training runs."""

from collections.abc import Callable, Sequence
from types import MappingProxyType

from clairgen.reporting.training.diagnostics.convergence import margin_falls, no_change, saturated
from clairgen.reporting.training.diagnostics.diagnostic import Diagnostic, DiagnosticKind
from clairgen.reporting.training.diagnostics.likelihoods import chosen_falls, chosen_rises, one_sided, rejected_rises
from clairgen.reporting.training.diagnostics.measurement import length_drift, not_finite, too_few
from clairgen.reporting.training.trajectory import Trajectory

RULES: MappingProxyType[str, Callable[[Trajectory], Diagnostic | None]] = MappingProxyType(
    {
        "not_finite": not_finite,
        "margin_falls": margin_falls,
        "chosen_falls": chosen_falls,
        "chosen_rises": chosen_rises,
        "rejected_rises": rejected_rises,
        "saturated": saturated,
        "one_sided": one_sided,
        "no_change": no_change,
        "length_drift": length_drift,
        "too_few": too_few,
    }
)
"""Each rule under the name of its finding, the most severe first."""
_OF_THEIR_OWN = frozenset({"length_drift", "too_few"})
"""Findings about something else than where training moved the likelihoods, so that they have a cause of their own."""


def diagnostics(trajectory: Trajectory) -> list[Diagnostic]:
    """The findings of all rules, warnings first and the most severe of them first.

    Findings about where training moved the likelihoods have one cause: the most severe one says what it may mean and what to try,
    the others refer to it. What it contradicts is left out: that nothing changed, or that a margin is one-sided, if a side moved
    the wrong way.
    """
    found = [one for rule in RULES.values() if (one := rule(trajectory)) is not None]
    found.sort(key=lambda one: one.kind is DiagnosticKind.REMARK)
    moved = [one for one in found if one.name not in _OF_THEIR_OWN]
    if not moved:
        return found
    excluded = set()
    if moved[0].name != "no_change":
        excluded.add("no_change")
    if {"chosen_falls", "rejected_rises"} & {one.name for one in moved}:
        excluded.add("one_sided")
    return [
        one if one is moved[0] or one.name in _OF_THEIR_OWN else one.with_the_cause_of(moved[0])
        for one in found
        if one.name not in excluded
    ]


def cautions(trajectories: Sequence[Trajectory]) -> list[str]:
    """Sentences on what makes these runs hard to compare; empty if nothing does."""
    sentences = []
    if len({frozenset(one.pair_ids) for one in trajectories}) > 1:
        sentences.append("The runs were measured on different held-out pairs, so compare changes and not levels.")
    if len({one.beta for one in trajectories}) > 1:
        sentences.append("The runs differ in beta, so compare log-likelihoods and not rewards.")
    if len({one.model for one in trajectories}) > 1:
        sentences.append("The runs started from different models.")
    return sentences


def differing_settings(trajectories: Sequence[Trajectory]) -> dict[str, list[str]]:
    """Settings that differ between the runs, by name: one value for each run, `–` where it has none."""
    names = dict.fromkeys(name for one in trajectories for name in one.settings)
    rows = {name: [one.settings.get(name, "–") for one in trajectories] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}
