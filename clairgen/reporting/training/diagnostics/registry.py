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
        "too_few": too_few,
        "no_change": no_change,
        "chosen_falls": chosen_falls,
        "chosen_rises": chosen_rises,
        "rejected_rises": rejected_rises,
        "one_sided": one_sided,
        "saturated": saturated,
        "margin_falls": margin_falls,
        "length_drift": length_drift,
    }
)
"""Each rule under the name of its finding, in the order in which findings are reported."""


def diagnostics(trajectory: Trajectory) -> list[Diagnostic]:
    """The findings of all rules, warnings first; if a side moved the wrong way, a one-sided margin is not reported as well."""
    found = [one for rule in RULES.values() if (one := rule(trajectory)) is not None]
    if {"chosen_falls", "rejected_rises"} & {one.name for one in found}:
        found = [one for one in found if one.name != "one_sided"]
    return sorted(found, key=lambda one: one.kind is DiagnosticKind.REMARK)


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
