import hashlib
import os
from pathlib import Path

import pytest

from clairgen.errors import ConfigError
from clairgen.records import Message
from clairgen.templates import load_template, shipped_templates, transcript

REVISE = frozenset({"task", "student_solution"})


def test_reviser_prompt_is_appendix_a_word_for_word() -> None:
    text = load_template("revise", REVISE).fill(task="<x>", student_solution="<y_l>")
    assert text == (
        "You are a teacher and your task is to minimally improve a student's answer. I will give you a {task} and a "
        "{student_solution}. Your job is to revise the {student_solution} such that it is clearer, more correct, and more "
        "engaging. Copy all non-corrected parts of the student's answer. Do not allude to the {corrected_student_solution} "
        "being a revision or a correction in your final solution.\n\n{task}: <x>\n\n{student_solution}: <y_l>\n\n"
        "-----------------\n\nLet's first think step by step with a {teacher_reasoning} to decide how to improve the "
        "{student_solution}, then give the {corrected_student_solution}. Mention the {teacher_reasoning} and "
        "{corrected_student_solution} identifiers to structure your answer.\n\n"
    )


def test_shipped_template_bytes_have_not_moved() -> None:
    """The hash stands with every completion asked so far: a changed text needs a new name."""
    template = load_template("revise", REVISE)
    assert template.content_hash == hashlib.sha256(template.text.encode()).hexdigest()
    assert template.content_hash.startswith("ec761e8ba5073012")


def test_braces_and_slots_inside_an_answer_stay_as_they_are() -> None:
    template = load_template("revise", REVISE)
    answer = "f = {x: {{task}} for x in {}} {{student_solution}} \\1 %s"
    assert f"{{student_solution}}: {answer}\n" in template.fill(task="{{student_solution}}", student_solution=answer)
    assert "{task}: {{student_solution}}\n" in template.fill(task="{{student_solution}}", student_solution=answer)


def test_own_template_is_checked_for_its_slots(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("{{student_solution}} / {{task}} / {other}")
    bad.write_text("{{task}} {{answer}}")
    assert load_template("good.txt", REVISE, tmp_path).fill(task="t", student_solution="s") == "s / t / {other}"
    with pytest.raises(
        ConfigError, match=r"must have exactly the slots \{\{student_solution\}\}, \{\{task\}\}; it has"
    ):
        load_template("bad.txt", REVISE, tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_template("absent.txt", REVISE, tmp_path)
    with pytest.raises(ConfigError, match=r"no template named 'revice'; use one of .*revise"):
        load_template("revice", REVISE)


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.txt")
    with pytest.raises(ConfigError, match=r"the template .*mine\.txt cannot be read: it is a pipe or a device"):
        load_template("mine.txt", REVISE, tmp_path)


def test_all_shipped_templates_load() -> None:
    assert "revise" in shipped_templates()


def test_single_user_message_is_its_own_transcript() -> None:
    assert transcript([Message("user", "User: hi\n\n")]) == "User: hi\n\n"


def test_conversation_is_a_labelled_transcript() -> None:
    messages = [
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "2 + 2?"),
    ]
    assert transcript(messages) == "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: 2 + 2?"
