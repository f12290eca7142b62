"""Pairs and reports that these tests look at."""

from collections.abc import Sequence
from dataclasses import replace

from clairgen.records import (
    Answer,
    Contrast,
    FilterAction,
    Finding,
    Message,
    Pair,
    ParseStatus,
    StoredPair,
    Task,
    Undecided,
)
from clairgen.reporting.report import RecipeNumbers, RecipeReport

USUAL = Contrast(levenshtein=120, jaccard=0.5, length_ratio=1.25, tokenizer="treebank")

TOO_LONG = Finding("length-ratio", FilterAction.DROP, "too-long", 4.8)
ALLUDES = Finding("revision_mention", FilterAction.MARK, "mentions-revision", "corrected")


def stored_pair(
    chosen: str | None = "The cat slept on the mat.",
    rejected: str = "The cat sat on a mat.",
    *,
    contrast: Contrast | None = USUAL,
    findings: Sequence[Finding] = (),
    recipe: str = "clair",
    reason: ParseStatus = ParseStatus.NO_SOLUTION_HEADER,
) -> StoredPair:
    """A pair; without `chosen` one that is undecided for `reason`."""
    other = Answer(rejected, "stop", "key-rejected", "student")
    why = "Say what the cat did."
    return StoredPair(
        id="pair-1",
        task=Task("task-1", (Message("system", "Be brief."), Message("user", "Where is the cat?"))),
        outcome=Undecided("task-1", recipe, reason, (other,), reasoning=why)
        if chosen is None
        else Pair("task-1", recipe, Answer(chosen, "stop", "key-chosen", "teacher"), other, why),
        contrast=None if chosen is None else contrast,
        findings=tuple(findings),
    )


def report_of(recipe: str, run: str = "runs/a", *, scale: float = 1, pairs: int = 40) -> RecipeReport:
    """A report over pairs of varied contrast, a few of them dropped and marked."""
    numbers = RecipeNumbers(run, recipe, "treebank")
    for number in range(pairs):
        contrast = replace(USUAL, levenshtein=round(scale * (100 + number)), jaccard=(20 + number % 30) / 100)
        findings = [TOO_LONG] if number % 10 == 0 else [ALLUDES] if number % 7 == 0 else []
        numbers.add(stored_pair(recipe=recipe, contrast=contrast, findings=findings))
    return numbers.report(failed=2, pending=3, cost_usd=12.345)
