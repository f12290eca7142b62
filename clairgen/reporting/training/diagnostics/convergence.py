"""Diagnostics of convergence: nothing was learned, nothing more can be learned, or what was learned was lost again."""

import numpy as np

from clairgen.reporting.training.diagnostics.diagnostic import (
    CONFIDENCE,
    WIDENING,
    Diagnostic,
    between,
    clear_change,
    figure,
    interval_words,
    objective_value,
)
from clairgen.reporting.training.trajectory import Bools, Floats, MeanChange, Trajectory, mean_change
from clairgen.wording import counted

CONFIDENCE_OF_NO_CHANGE = 0.95
"""Lower than for other rules: here a wide interval is what raises the finding."""
LITTLE_LEFT = 0.04
"""A pair whose gradient is below this share of its maximum (at rewards of 0) hardly teaches: 25 epochs do what one did. d(x)
reaches it at |x| = 4.6, which with beta 0.1 is 46 nats from the reference."""
MOST_PAIRS = 0.5
MARGIN_LOST = 0.1
"""A fall from the peak smaller than this share of the gain does not justify another checkpoint."""


def no_change(trajectory: Trajectory) -> Diagnostic | None:
    """What the objective increases (margin; under SFT the likelihood of chosen) did not clearly change.

    Rule: the 95% interval of its mean change over pairs, from the first measurement to the last, contains 0.
    """
    what, values = objective_value(trajectory)
    change = mean_change(values[-1] - values[0], CONFIDENCE_OF_NO_CHANGE) if len(values) > 1 else None
    if change is None or not change.is_unclear:
        return None
    seen = (
        f"The {what} changed by {figure(change.mean)} (95% interval {figure(change.low)} to {figure(change.high)}, "
        f"{counted(change.n, 'pair')}) {between(trajectory)}, which is compatible with no change at all"
    )
    moved = clear_change(trajectory.chosen_logps)
    if moved is not None:
        went = "rose" if moved.mean > 0 else "fell"
        return Diagnostic(
            "no_change",
            f"{seen}, although the log-likelihood of chosen answers {went} by {figure(abs(moved.mean))} nats per answer.",
            "Training moves both answers of a pair alike: they may differ in too little, or the better one is not always chosen.",
            "Try pairs that differ where it matters (`clairgen report RUN` shows their contrast), and look at some of them with "
            "`clairgen show RUN`.",
            trajectory.steps[-1],
            change.figures,
        )
    return Diagnostic(
        "no_change",
        f"{seen}.",
        "The learning rate may be too low, the steps too few, the weights not trained at all (a frozen adapter), the answers "
        "identical after truncation, or the held-out pairs too few to show a small change.",
        "Try a higher learning rate, more epochs, or more held-out pairs.",
        trajectory.steps[-1],
        change.figures,
    )


def saturated(trajectory: Trajectory) -> Diagnostic | None:
    """Rewards so large that most pairs no longer teach anything (Figure 3): d(x) = s(x) (1 - s(x)) is near 0 for them.

    Rule: the share of pairs with less than LITTLE_LEFT of the gradient at rewards of 0 is clearly above MOST_PAIRS. The
    gradient is that of the side with more left: d(r_w) and d(r_l) under APO-zero, d(r_w) and d(r_w - r_l) under
    APO-down, s(r_l - r_w) under DPO. Under KTO it depends on a KL that trajectories do not contain, and SFT has no such term.
    """
    saturated_pairs = _saturated_pairs(trajectory)
    if saturated_pairs is None:
        return None
    known = trajectory.finite[-1]
    change = mean_change(np.where(known, saturated_pairs[-1], np.nan) - MOST_PAIRS, CONFIDENCE)
    if change is None or not change.is_rise:
        return None
    share = change.mean + MOST_PAIRS
    wrong = float((trajectory.margins[-1][known & saturated_pairs[-1]] < 0).mean())
    since = _since(trajectory, saturated_pairs)
    return Diagnostic(
        "saturated",
        f"For {share:.0%} of the pairs ({change.n:,}, {CONFIDENCE:.0%} interval {change.low + MOST_PAIRS:.0%} to "
        f"{min(change.high + MOST_PAIRS, 1):.0%}) less than {LITTLE_LEFT:.0%} of the gradient is left; for most pairs since step "
        f"{since:,}; {wrong:.0%} of these pairs rank rejected first.",
        "Rewards are so large that nothing more is learned, and pairs on the wrong side stay there.",
        f"Use the checkpoint of step {since:,} or an earlier one; try fewer epochs, a lower learning rate or a smaller beta.",
        since,
        {
            "share": share,
            "low": change.low + MOST_PAIRS,
            "high": change.high + MOST_PAIRS,
            "wrong": wrong,
            "n": change.n,
        },
    )


def margin_falls(trajectory: Trajectory) -> Diagnostic | None:
    """The held-out margin (under SFT the likelihood of chosen) peaked and then clearly fell: training went on for too long.

    Rule: of the mean differences over pairs between each measurement and the last, the largest has its interval above 0, at a
    confidence corrected for the number of measurements (Bonferroni), and is at least MARGIN_LOST of the gain up to the peak.
    """
    what, values = objective_value(trajectory)
    steps = len(values)
    if steps < 2:
        return None
    confidence = 1 - (1 - CONFIDENCE) / (steps - 1)
    falls = [mean_change(values[at] - values[-1], confidence) for at in range(steps - 1)]
    known = [(fall.mean, -at, fall) for at, fall in enumerate(falls) if fall is not None]
    if not known:
        return None
    _, at, fall = max(known, key=lambda entry: entry[:2])
    peak = trajectory.steps[-at]
    gain = mean_change(values[-at] - values[0], CONFIDENCE)
    gained = gain.mean if gain is not None else 0.0
    if not fall.is_rise or fall.mean < MARGIN_LOST * gained:
        return None
    return _fall_from(trajectory, what, fall, peak, gained)


def _fall_from(trajectory: Trajectory, what: str, fall: MeanChange, peak: int, gained: float) -> Diagnostic:
    if peak == trajectory.steps[0]:
        seen = (
            f"The {what} of held-out pairs fell below its start by {figure(fall.mean)} {interval_words(fall)} and never "
            "rose above it."
        )
        to_try = "Keep the base model; try a lower learning rate, and check whether chosen and rejected were swapped."
    else:
        seen = (
            f"The {what} of held-out pairs was largest at step {peak:,} ({figure(gained)} above its start) and fell by "
            f"{figure(fall.mean)} {interval_words(fall)} until step {trajectory.steps[-1]:,}."
        )
        to_try = (
            f"Use the checkpoint of step {peak:,}, the best by this measure; try fewer epochs or a lower learning rate."
        )
    return Diagnostic(
        "margin_falls",
        seen,
        "Training went on for too long: the model overfits its training pairs.",
        to_try,
        peak,
        {"gained": gained, **fall.figures},
    )


def _saturated_pairs(trajectory: Trajectory) -> Bools | None:
    """Which pairs have less than LITTLE_LEFT of their gradient left, shape (steps, pairs); None where it is unknown."""
    chosen, rejected = trajectory.chosen_rewards, trajectory.rejected_rewards
    if trajectory.objective in ("apo-zero", "apo-zero-unpaired"):
        left = np.maximum(_slope(chosen), _slope(rejected))
    elif trajectory.objective == "apo-down":
        left = np.maximum(_slope(chosen), _slope(chosen - rejected))
    elif trajectory.objective in WIDENING:
        left = 2 / (1 + np.exp(np.clip(chosen - rejected, -500, 500)))
    else:
        return None
    with np.errstate(invalid="ignore"):
        saturated_pairs: Bools = left < LITTLE_LEFT
    return saturated_pairs


def _slope(x: Floats) -> Floats:
    """d(x) / d(0), where d(x) = s(x) (1 - s(x)) and s is the logistic function: 1 at 0, falling to 0 on both sides."""
    small = np.exp(-np.abs(x))
    return np.asarray(4 * small / (1 + small) ** 2, np.float64)


def _since(trajectory: Trajectory, saturated_pairs: Bools) -> int:
    """The first step since which most pairs have been saturated without interruption."""
    since = trajectory.steps[-1]
    for at in range(len(trajectory.steps) - 1, -1, -1):
        known = trajectory.finite[at]
        if not known.any() or saturated_pairs[at][known].mean() <= MOST_PAIRS:
            break
        since = trajectory.steps[at]
    return since
