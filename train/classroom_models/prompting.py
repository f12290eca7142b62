"""The texts around questions and answers: prompts of reviser and judge, what they write, and the pieces that never change.

Each fixed piece is one token of the vocabulary, so that a model this small spends its attention on what differs.
"""

import re
from collections.abc import Iterator

from clairgen.data.classroom.exercises import Working
from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import Question, is_right, is_sound
from clairgen.data.classroom.styles import STYLES
from clairgen.templates import load_template

_REVISE = load_template("revise", frozenset({"task", "student_solution"}))
_JUDGE = load_template("judge", frozenset({"task", "student_solution_1", "student_solution_2"}))

REASONING = "{teacher_reasoning}: "
SOLUTION = "\n\n{corrected_student_solution}: "
USER_HEAD = "<|start_header_id|>user<|end_header_id|>\n\n"
ASSISTANT_HEAD = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
RIGHT, WRONG, RIGHT_BY_CHANCE = ", which is right.", ", which is wrong.", ", which is right, but a step is wrong."
CHOICES = ("\n\n[1]", "\n\n[2]")
_SHOULD_BE, _SAYS, _FIRST_SAYS, _SECOND_SAYS = (
    ", so it should be",
    ". The student says",
    ". The first student says",
    " The second student says",
)
_SHORTEST_PIECE = 12


def pieces() -> list[str]:
    """The fixed texts, as the chat template leaves them."""
    fixed = [REASONING, SOLUTION, USER_HEAD, ASSISTANT_HEAD, RIGHT, WRONG, RIGHT_BY_CHANCE, *CHOICES]
    fixed += [_SHOULD_BE, _SAYS, _FIRST_SAYS, _SECOND_SAYS]
    for template in (_REVISE, _JUDGE):
        before, *between, after = re.split(r"\{\{\w+\}\}", template.text)
        fixed += [before.lstrip(), *between, after.rstrip()]
    fixed += _of_questions()
    return list(dict.fromkeys(fixed))


def chat(prompt: str) -> str:
    """What a model reads before it answers; the shipped chat template writes the same."""
    return f"<|begin_of_text|>{USER_HEAD}{prompt.strip()}{ASSISTANT_HEAD}"


def revise_prompt(task: str, draft: str) -> str:
    """The paper's reviser prompt for a task and a student's answer."""
    return _REVISE.fill(task=task, student_solution=draft)


def judge_prompt(task: str, first: str, second: str) -> str:
    """The paper's judge prompt for a task and two students' answers."""
    return _JUDGE.fill(task=task, student_solution_1=first, student_solution_2=second)


def revision(question: Question, draft: str, answer: str) -> str:
    """What the teacher writes: its own working first, so that its verdict on the draft can rest on it."""
    said = f"{_worked(question.working)}{_SAYS} {_last_word(draft)}{_verdict(question, draft)}"
    return f"{said}{SOLUTION}{answer}"


def judgement(question: Question, first: str, second: str, choice: int) -> str:
    """What the teacher writes of two answers, `choice` being the place of the better one, 0 or 1."""
    said = "".join(
        f"{says} {_last_word(text)}{RIGHT if is_right(question, text) else WRONG}"
        for says, text in ((_FIRST_SAYS, first), (_SECOND_SAYS, second))
    )
    return f"{_worked(question.working)}{said}{CHOICES[choice]}"


def _verdict(question: Question, draft: str) -> str:
    if is_sound(question, draft):
        return RIGHT
    return RIGHT_BY_CHANCE if is_right(question, draft) else WRONG


def _worked(working: Working) -> str:
    return f"{REASONING}{', '.join(working.steps)}{_SHOULD_BE} {working.result}"


def _last_word(text: str) -> str:
    words = text.split()
    return words[-1].rstrip(".") if words else "nothing"


def _of_questions() -> Iterator[str]:
    """The longer of the fixed texts in prompts and answers, without the space that belongs to the next word."""
    for kind in KINDS:
        for wording in kind.prompts:
            yield from (text.strip() for text in re.split(r"\{\w+\}", wording) if len(text.strip()) >= _SHORTEST_PIECE)
        yield kind.opening
        for style in STYLES.values():
            yield ". " + (style.closing or kind.closing).partition(" {result}")[0]
