"""Sicknesses of learning: nothing was learned, nothing can be learned any more, or what was learned was lost again."""

import numpy as np

from clairgen.reporting.training.diagnostics.diagnostic import (
    CONFIDENCE,
    Sickness,
    aim,
    between,
    figure,
    interval_words,
)
from clairgen.reporting.training.paired import Change, mean_change
from clairgen.reporting.training.trajectory import Bools, Floats, Trajectory

CONFIDENCE_OF_NO_CHANGE = 0.95
"""Narrower than the others' intervals: here it is the wide interval that raises the finding."""
LITTLE_LEFT = 0.04
"""A pair whose gradient is below this share of its greatest (at rewards of 0) hardly teaches: 25 epochs do what one did. d(x)
is there at |x| = 4.6, with beta 0.1 some 46 nats from the reference."""
MOST_PAIRS = 0.5
MARGIN_LOST = 0.1
"""A fall from the peak below this share of the gain is not worth another checkpoint."""


def no_change(trajectory: Trajectory) -> Sickness | None:
    """What the objective makes larger (margin; under SFT the likelihood of chosen) is not clear of where it began.

    Rule: the 95% interval of its mean change over pairs, from the first measurement to the last, holds 0.
    """
    what, values = aim(trajectory)
    change = mean_change(values[-1] - values[0], CONFIDENCE_OF_NO_CHANGE) if len(values) > 1 else None
    if change is None or not change.is_unclear:
        return None
    return Sickness(
        "no_change",
        f"The {what} changed by {figure(change.mean)} (95% interval {figure(change.low)} to {figure(change.high)}, "
        f"{change.n:,} pairs) {between(trajectory)}, which may be nothing at all.",
        "The learning rate may be too low, the steps too few, the weights not trained at all (a frozen adapter), the answers "
        "alike once they are cut, or the held-out pairs too few to show a small change.",
        "Try a higher learning rate, more epochs, or more held-out pairs.",
        trajectory.steps[-1],
        change.figures,
    )


def saturated(trajectory: Trajectory) -> Sickness | None:
    """Rewards so large that most pairs teach nothing any more (Figure 3): d(x) = s(x) (1 - s(x)) is near 0 for them.

    Rule: the share of pairs with less than LITTLE_LEFT of the gradient at rewards of 0 is clearly above MOST_PAIRS. The
    gradient is that of the side which has more left: d(r_w) and d(r_l) under APO-zero, d(r_w) and d(r_w - r_l) under
    APO-down, s(r_l - r_w) under DPO. Under KTO it hangs on a KL that trajectories do not hold, and SFT has no such term.
    """
    spent = _spent(trajectory)
    if spent is None:
        return None
    known = trajectory.finite[-1]
    change = mean_change(np.where(known, spent[-1], np.nan) - MOST_PAIRS, CONFIDENCE)
    if change is None or not change.is_rise:
        return None
    share = change.mean + MOST_PAIRS
    wrong = float((trajectory.margins[-1][known & spent[-1]] < 0).mean())
    since = _since(trajectory, spent)
    return Sickness(
        "saturated",
        f"Of {share:.0%} of the pairs ({change.n:,}, {CONFIDENCE:.0%} interval {change.low + MOST_PAIRS:.0%} to "
        f"{min(change.high + MOST_PAIRS, 1):.0%}) less than {LITTLE_LEFT:.0%} of the gradient is left; of most pairs since step "
        f"{since:,}; {wrong:.0%} of these pairs rank rejected first.",
        "Rewards are so large that nothing is learned any more, and pairs on the wrong side stay there.",
        f"Take the checkpoint of step {since:,} or an earlier one; try fewer epochs, a lower learning rate or a smaller beta.",
        since,
        {
            "share": share,
            "low": change.low + MOST_PAIRS,
            "high": change.high + MOST_PAIRS,
            "wrong": wrong,
            "n": change.n,
        },
    )


def margin_falls(trajectory: Trajectory) -> Sickness | None:
    """The held-out margin (under SFT the likelihood of chosen) peaked and then fell clearly: training went on for too long.

    Rule: of the mean differences over pairs between each measurement and the last, the largest has its interval above 0, at a
    confidence that is shared among the measurements (Bonferroni), and it is at least MARGIN_LOST of what was gained before.
    """
    what, values = aim(trajectory)
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


def _fall_from(trajectory: Trajectory, what: str, fall: Change, peak: int, gained: float) -> Sickness:
    if peak == trajectory.steps[0]:
        seen = (
            f"The {what} of held-out pairs fell below where it began, by {figure(fall.mean)} {interval_words(fall)}, and never "
            "rose above."
        )
        to_try = (
            "Keep the model that training began with; try a lower learning rate, and look whether chosen and rejected were "
            "swapped."
        )
    else:
        seen = (
            f"The {what} of held-out pairs was largest at step {peak:,} ({figure(gained)} above its start) and fell by "
            f"{figure(fall.mean)} {interval_words(fall)} until step {trajectory.steps[-1]:,}."
        )
        to_try = f"Take the checkpoint of step {peak:,}, the best by this measure; try fewer epochs or a lower learning rate."
    return Sickness(
        "margin_falls",
        seen,
        "The run went on for too long: it fits its own pairs and forgets what holds for others.",
        to_try,
        peak,
        {"gained": gained, **fall.figures},
    )


def _spent(trajectory: Trajectory) -> Bools | None:
    """Which pairs have less than LITTLE_LEFT of their gradient left, shape (steps, pairs); None where it cannot be told."""
    chosen, rejected = trajectory.chosen_rewards, trajectory.rejected_rewards
    if trajectory.objective in ("apo-zero", "apo-zero-unpaired"):
        left = np.maximum(_slope(chosen), _slope(rejected))
    elif trajectory.objective == "apo-down":
        left = np.maximum(_slope(chosen), _slope(chosen - rejected))
    elif trajectory.objective == "dpo":
        left = 2 / (1 + np.exp(np.clip(chosen - rejected, -500, 500)))
    else:
        return None
    with np.errstate(invalid="ignore"):
        spent: Bools = left < LITTLE_LEFT
    return spent


def _slope(x: Floats) -> Floats:
    """d(x) / d(0), where d(x) = s(x) (1 - s(x)) and s is the logistic function: 1 at 0, falling to 0 on both sides."""
    small = np.exp(-np.abs(x))
    return np.asarray(4 * small / (1 + small) ** 2, np.float64)


def _since(trajectory: Trajectory, spent: Bools) -> int:
    """The first step from which on most pairs were spent without a break."""
    since = trajectory.steps[-1]
    for at in range(len(trajectory.steps) - 1, -1, -1):
        known = trajectory.finite[at]
        if not known.any() or spent[at][known].mean() <= MOST_PAIRS:
            break
        since = trajectory.steps[at]
    return since
