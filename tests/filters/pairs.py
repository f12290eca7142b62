"""Small pairs for the filters."""

from clairgen.records import Answer, Contrast, Pair, ParseStatus, Undecided

USUAL = Contrast(levenshtein=100, jaccard=0.4, length_ratio=1.2, tokenizer="treebank")


def answer(text: str = "Better.", finish_reason: str = "stop") -> Answer:
    return Answer(text=text, finish_reason=finish_reason, key="k")


BETTER, WORSE = answer("Better."), answer("Worse.")


def pair(chosen: Answer = BETTER, rejected: Answer = WORSE) -> Pair:
    return Pair(task_id="t", recipe="clair", chosen=chosen, rejected=rejected)


def undecided(
    first: Answer = WORSE, reason: ParseStatus = ParseStatus.NO_SOLUTION_HEADER, *, unparsed: Answer | None = None
) -> Undecided:
    return Undecided("t", "clair", reason, (first,), unparsed)
