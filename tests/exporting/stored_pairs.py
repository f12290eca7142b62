"""Pairs as the store hands them out, made up."""

from dataclasses import replace

from clairgen.records import Answer, Contrast, Finding, Message, Pair, ParseStatus, StoredPair, Task, Undecided

CONTRAST = Contrast(levenshtein=12, jaccard=0.4311, length_ratio=1.25, tokenizer="treebank")


def stored_pair(
    number: int = 0,
    *,
    recipe: str = "clair",
    chosen: str | None = "It is 4.",
    rejected: str = "It is 5.",
    findings: tuple[Finding, ...] = (),
) -> StoredPair:
    """A pair about task `number`; `chosen` None is one that could not be parsed."""
    task = Task(f"task-{number}", (Message("system", "Be brief."), Message("user", f"2 + 2? ({number})")))
    other = Answer(rejected, "stop", f"rejected-key-{number}", "student")
    why = "The sum is 4."
    outcome = (
        Undecided(task.id, recipe, ParseStatus.NO_SOLUTION_HEADER, (other,), reasoning=why)
        if chosen is None
        else Pair(task.id, recipe, Answer(chosen, "stop", f"chosen-key-{number}", "teacher"), other, why)
    )
    return StoredPair(
        id=f"{recipe}-{number}",
        task=task,
        outcome=outcome,
        contrast=None if chosen is None else CONTRAST,
        findings=findings,
    )


def with_task_text(stored: StoredPair, text: str) -> StoredPair:
    """The same pair with another prompt."""
    return replace(stored, task=Task(stored.task.id, (Message("user", text),)))
