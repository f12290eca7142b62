"""Diagnostics of likelihoods: one that moves against the objective, or a margin that comes from one side only."""

from clairgen.reporting.training.diagnostics.diagnostic import (
    CONFIDENCE,
    LEAST_NATS,
    WIDENING,
    Diagnostic,
    DiagnosticKind,
    Direction,
    between,
    clear_change,
    expected_direction,
    figure,
    interval_words,
)
from clairgen.reporting.training.trajectory import MeanChange, Trajectory, mean_change
from clairgen.wording import counted

MOST_FROM_ONE_SIDE = 0.9
"""A margin is one-sided if clearly more than nine tenths of it come from one side; under APO-zero both sides are pushed
equally at the start."""


def chosen_falls(trajectory: Trajectory) -> Diagnostic | None:
    """The log-likelihood of chosen answers fell although the objective should raise it (a remark under DPO).

    Rule: the mean change over pairs is below -LEAST_NATS and its interval below 0.
    """
    said = expected_direction(trajectory).chosen
    change = clear_change(trajectory.chosen_logps)
    if change is None or change.mean > 0 or not (said is Direction.UP or trajectory.objective in WIDENING):
        return None
    seen = _seen("chosen", "fell", change, trajectory)
    if said is None:
        return Diagnostic(
            "chosen_falls",
            seen,
            "DPO only increases the difference and does not determine which way chosen moves; the lost probability may go "
            "to answers that nobody chose.",
            "Try apo-zero, if the chosen answers are better than what the model writes.",
            trajectory.steps[-1],
            change.figures,
            DiagnosticKind.REMARK,
        )
    return Diagnostic(
        "chosen_falls",
        seen,
        "The objective should raise it: lowering rejected answers may also lower the text that chosen ones share "
        "with them, the learning rate may be too high, or training may have gone on for too long.",
        "Try a lower learning rate or an earlier checkpoint, and run `clairgen advise` to see whether the chosen answers are "
        "better than the model's own.",
        trajectory.steps[-1],
        change.figures,
    )


def chosen_rises(trajectory: Trajectory) -> Diagnostic | None:
    """The log-likelihood of chosen answers rose although APO-down should lower it; the mirror image of chosen_falls."""
    change = clear_change(trajectory.chosen_logps)
    if change is None or change.mean < 0 or expected_direction(trajectory).chosen is not Direction.DOWN:
        return None
    return Diagnostic(
        "chosen_rises",
        _seen("chosen", "rose", change, trajectory),
        "The objective is for models that are better than the chosen answers, and should lower them; once the margin "
        "is wide, its second term may raise them again.",
        "Try apo-zero, if the chosen answers are better than what the model writes (`clairgen advise` tells you), else an "
        "earlier checkpoint.",
        trajectory.steps[-1],
        change.figures,
    )


def rejected_rises(trajectory: Trajectory) -> Diagnostic | None:
    """The log-likelihood of rejected answers rose; a warning where the objective should lower it, a remark under DPO."""
    said = expected_direction(trajectory).rejected
    change = clear_change(trajectory.rejected_logps)
    if change is None or change.mean < 0 or not (said is Direction.DOWN or trajectory.objective in WIDENING):
        return None
    means = (
        "The objective should lower it: the two answers of a pair may be so similar that raising one raises the other."
    )
    if said is None:
        means = "DPO only increases the difference: both may rise if chosen rises more."
    return Diagnostic(
        "rejected_rises",
        _seen("rejected", "rose", change, trajectory),
        means,
        "Try pairs that differ where it matters (`clairgen report RUN` shows their contrast), and check whether chosen and "
        "rejected were swapped.",
        trajectory.steps[-1],
        change.figures,
        DiagnosticKind.WARNING if said is Direction.DOWN else DiagnosticKind.REMARK,
    )


def one_sided(trajectory: Trajectory) -> Diagnostic | None:
    """Clearly more than MOST_FROM_ONE_SIDE of the margin comes from one side, under an objective that moves both.

    Rule: with r_w and r_l the changes of the rewards, the means of r_w - r_l and of -r_l - 0.9 (r_w - r_l) (or of
    r_w - 0.9 (r_w - r_l)) have their intervals above 0, so that no ratio of means needs an interval. Not applied under
    APO-down, whose margin should come from rejected, nor under SFT; a remark under DPO.
    """
    said = expected_direction(trajectory)
    anchored = said.chosen is Direction.UP and said.rejected is Direction.DOWN
    if not (anchored or trajectory.objective == "dpo") or len(trajectory.steps) < 2:
        return None
    chosen = trajectory.chosen_rewards[-1] - trajectory.chosen_rewards[0]
    rejected = trajectory.rejected_rewards[0] - trajectory.rejected_rewards[-1]
    margin = mean_change(chosen + rejected, CONFIDENCE)
    if margin is None or not margin.is_rise or margin.mean < LEAST_NATS * trajectory.beta:
        return None
    for side, words, part in (("rejected", "falling", rejected), ("chosen", "rising", chosen)):
        surplus = mean_change(part - MOST_FROM_ONE_SIDE * (chosen + rejected), CONFIDENCE)
        whole = mean_change(part, CONFIDENCE)
        if surplus is not None and whole is not None and surplus.is_rise:
            share = whole.mean / margin.mean
            return Diagnostic(
                "one_sided",
                f"{share:.0%} of the margin's growth by {figure(margin.mean)} {between(trajectory)} comes from {side} answers "
                f"{words}, clearly more than {MOST_FROM_ONE_SIDE:.0%} (at {CONFIDENCE:.0%} over {counted(margin.n, 'pair')}).",
                "The model learns what not to write and not what to write."
                if side == "rejected"
                else "The model copies chosen answers, as SFT would, and does not learn what is wrong with rejected ones.",
                "Look at what the model writes before you trust its margin; try a lower learning rate, and pairs of higher "
                "contrast.",
                trajectory.steps[-1],
                {"share": share, "from_rejected": float(side == "rejected"), **margin.figures},
                DiagnosticKind.WARNING if anchored else DiagnosticKind.REMARK,
            )
    return None


def _seen(side: str, went: str, change: MeanChange, trajectory: Trajectory) -> str:
    return (
        f"The log-likelihood of {side} answers {went} by {figure(abs(change.mean))} nats per answer "
        f"{interval_words(change)} {between(trajectory)}."
    )
