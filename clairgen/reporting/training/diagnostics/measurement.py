"""Diagnostics of the measurements and of the model's own answers: values not finite, too few of them, drifting length."""

import numpy as np

from clairgen.reporting.training.diagnostics.diagnostic import (
    CONFIDENCE,
    Diagnostic,
    DiagnosticKind,
    figure,
    interval_words,
)
from clairgen.reporting.training.trajectory import Trajectory, mean_change
from clairgen.wording import counted

FEWEST_PAIRS = 10
"""With fewer pairs, a t interval depends on every single one."""
LENGTH_DRIFT = 0.2
"""A share that judges reward by itself: the paper's DPO on CLAIR grew by 966 characters, its SFT by 6,108."""


def not_finite(trajectory: Trajectory) -> Diagnostic | None:
    """Some measured log-probabilities are NaN, infinite, empty or out of range; no mean includes them."""
    broken = trajectory.measured & ~trajectory.finite
    count, of = int(broken.sum()), int(trajectory.measured.sum())
    if not count:
        return None
    first = int(np.flatnonzero(broken.any(axis=1))[0])
    at_last = int(broken[-1].sum())
    return Diagnostic(
        "not_finite",
        f"NaN, infinite or empty: {count:,} of {counted(of, 'measurement')} of a pair, the first {int(broken[first].sum()):,} at "
        f"step {trajectory.steps[first]:,}; {at_last:,} at the last step; all means exclude them.",
        "Numbers overflowed: because of fp16, or because of a learning rate so high that the weights diverged.",
        "Use a checkpoint before that step; try bf16 or fp32, a lower learning rate, gradient clipping."
        if first
        else "Look at these pairs and at the base model; try bf16 or fp32.",
        trajectory.steps[first],
        {"count": count, "of": of, "at_last_step": at_last},
    )


def too_few(trajectory: Trajectory) -> Diagnostic | None:
    """A remark if there is a single measurement or fewer than FEWEST_PAIRS pairs, too few to conclude anything."""
    steps, pairs = len(trajectory.steps), len(trajectory.pair_ids)
    if steps > 1 and pairs >= FEWEST_PAIRS:
        return None
    return Diagnostic(
        "too_few",
        f"There {'is one measurement' if steps == 1 else f'are {steps:,} measurements'} of {counted(pairs, 'pair')}.",
        "A change takes two measurements, and fewer than ten pairs show it badly: the absence of other findings means little.",
        "Try more held-out pairs (the paper has 100), and a run that reaches the end of an epoch.",
        trajectory.steps[-1],
        {"measurements": steps, "pairs": pairs},
        DiagnosticKind.REMARK,
    )


def length_drift(trajectory: Trajectory) -> Diagnostic | None:
    """The model's own answers became longer or shorter by more than LENGTH_DRIFT.

    Rule: over the prompts sampled at the first and at the last measurement that has samples, the mean change is more than
    LENGTH_DRIFT of the first mean, and its interval excludes 0.
    """
    sampled = np.flatnonzero(np.isfinite(trajectory.sampled_tokens).any(axis=1))
    if len(sampled) < 2:
        return None
    before, after = trajectory.sampled_tokens[sampled[0]], trajectory.sampled_tokens[sampled[-1]]
    both = np.isfinite(before) & np.isfinite(after)
    change = mean_change(after - before, CONFIDENCE)
    start = float(before[both].mean()) if change is not None else 0.0
    if change is None or change.is_unclear or abs(change.mean) <= LENGTH_DRIFT * start:
        return None
    longer = change.mean > 0
    share = f"{abs(change.mean) / start:.0%} " if start else ""
    first, last = trajectory.steps[sampled[0]], trajectory.steps[sampled[-1]]
    return Diagnostic(
        "length_drift",
        f"Sampled answers became {share}{'longer' if longer else 'shorter'}: by {figure(abs(change.mean))} tokens "
        f"{interval_words(change)} from {start:,.1f} at step {first:,} to step {last:,}.",
        "Chosen answers may be longer than rejected ones, and length is learned instead of quality."
        if longer
        else "Answers end early, or chosen answers are shorter than rejected ones and that is what is learned.",
        "Try a length filter (`clairgen filter RUN --length-ratio 0.8:1.25`) or length-neutral revisions, and evaluate with "
        "length controlled.",
        last,
        {"start": start, **change.figures},
    )
