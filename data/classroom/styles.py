"""The ways in which the classroom's models word an answer.

A student writes the bare steps and ends in one of two ways; the teacher explains what it does. The two other models, for
pairs between models (paper eq. 3), each have a close of their own. So a minimal revision of a student's answer and a fresh
answer by the teacher are different texts, as in the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from clairgen.data.classroom.exercises import Working
from clairgen.data.classroom.kinds import Kind


@dataclass(frozen=True, slots=True)
class Style:
    """A way to word an answer; a `closing` of None is the kind's own."""

    name: str
    explains: bool
    closing: str | None

    def text(self, kind: Kind, working: Working) -> str:
        """The answer of a working in this style."""
        opening = f"{kind.opening} " if self.explains else ""
        closing = (self.closing or kind.closing).format(result=working.result)
        return f"{opening}{', '.join(working.steps)}. {closing}"

    def is_of(self, kind: Kind, text: str) -> bool:
        """Whether a text, right or wrong, begins and ends as this style does."""
        closing = (self.closing or kind.closing).partition("{result}")[0]
        return text.startswith(kind.opening) == self.explains and f". {closing}" in text


STUDENT = (Style("student", False, "So it is {result}."), Style("student-answer", False, "Answer: {result}."))
TEACHER = Style("teacher", True, None)
WEAKER = Style("weaker", False, "I think it is {result}.")
STRONGER = Style("stronger", True, "Thus we get {result}.")
STYLES: Mapping[str, Style] = {style.name: style for style in (*STUDENT, TEACHER, WEAKER, STRONGER)}


def stated_result(text: str) -> str | None:
    """What an answer ends with, "632" of "So it is 632."; None when it does not end as a sentence."""
    words = text.split()
    return words[-1].removesuffix(".").strip("*") if words and words[-1].endswith(".") else None
