"""The texts around questions and answers: the reviser's prompt and output, and the pieces that never change.

Each fixed piece is one token of the vocabulary, so that a model this small spends its attention on what differs.
"""

from clairgen.templates import load_template

_TEMPLATE = load_template("revise", frozenset({"task", "student_solution"}))

REASONING = "{teacher_reasoning}: "
SOLUTION = "\n\n{corrected_student_solution}: "
USER_HEAD = "<|start_header_id|>user<|end_header_id|>\n\n"
ASSISTANT_HEAD = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"


def pieces() -> list[str]:
    """The fixed texts, as the chat template leaves them."""
    before, rest = _TEMPLATE.text.split("{{task}}")
    between, after = rest.split("{{student_solution}}")
    return [before.lstrip(), between, after.rstrip(), REASONING, SOLUTION, USER_HEAD, ASSISTANT_HEAD]


def chat(prompt: str) -> str:
    """What a model reads before it answers; the shipped chat template writes the same."""
    return f"<|begin_of_text|>{USER_HEAD}{prompt.strip()}{ASSISTANT_HEAD}"


def revise_prompt(task: str, draft: str) -> str:
    """The paper's reviser prompt for a task and a student's answer."""
    return _TEMPLATE.fill(task=task, student_solution=draft)


def revision(core: str, draft_is_right: bool, answer: str) -> str:
    """What the teacher writes: the right core first, so that its verdict on the draft can rest on it."""
    verdict = "right" if draft_is_right else "wrong"
    return f"{REASONING}The answer should be {core}, so the student is {verdict}.{SOLUTION}{answer}"


def revised_answer(text: str) -> str | None:
    """The answer in a revision; None when it is not in the paper's format."""
    reasoning, header, answer = text.strip().partition(SOLUTION)
    if not reasoning.startswith(REASONING) or not header or SOLUTION in answer:
        return None
    return answer.strip() or None
