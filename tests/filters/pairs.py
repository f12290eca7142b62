"""Small pairs for the filters."""

from clairgen.records import Answer, Contrast, Pair

USUAL = Contrast(levenshtein=100, jaccard=0.4, length_ratio=1.2, tokenizer="treebank")


def answer(text: str = "Better.", finish_reason: str = "stop") -> Answer:
    return Answer(text=text, finish_reason=finish_reason, key="k")


BETTER, WORSE = answer("Better."), answer("Worse.")


def pair(chosen: Answer | None = BETTER, rejected: Answer = WORSE) -> Pair:
    return Pair(task_id="t", recipe="clair", chosen=chosen, rejected=rejected)
