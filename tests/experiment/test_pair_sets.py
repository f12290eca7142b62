"""The two data sets that no recipe of the paper makes: winners worse than the student, and a reviser that sees one part."""

from collections.abc import Sequence
from random import Random

import pytest

from clairgen.config.models import RecipeChoice
from clairgen.data.classroom.questions import draw
from clairgen.data.classroom.styles import STUDENT
from clairgen.data.classroom.two_parts import draw_two_parts, right_parts
from clairgen.errors import RequestFailedError
from clairgen.experiment.classroom_score import score, scored
from clairgen.experiment.one_part import CLAIR_ONE_PART
from clairgen.experiment.pair_sets import with_slip, worse_winners
from clairgen.recipes.recipe import RecipeContext
from clairgen.records import Answer, Completion, Message, Pair, StoredPair, Task, Undecided, Usage
from clairgen.templates import Template, load_template

WRONG = "1+1=2. So it is 0."


def completion(text: str) -> Completion:
    return Completion("key", "role", "model", None, 0, text, "stop", Usage(), 0.1, "here", None, None, "now")


async def one_part_pair(task_id: str, draft: str, revision: str) -> tuple[Pair | Undecided, str]:
    """The pair of a task, and the prompt that the reviser was sent."""
    prompts = []

    async def ask(
        role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        if role == "target":
            return completion(draft)
        prompts.append(messages[-1].content)
        return completion("{teacher_reasoning}: no.\n\n{corrected_student_solution}: " + revision)

    template = load_template("revise", CLAIR_ONE_PART.slots["reviser"])
    context = RecipeContext(
        RecipeChoice(name="clair-one-part"),
        {"reviser": template},
        ("target", "reviser"),
        0,
        deterministic=frozenset({"reviser"}),
    )
    made = await CLAIR_ONE_PART.make(Task(task_id, (Message("user", QUESTION.prompt),)), ask, context)
    return made, prompts[0]


QUESTION = draw_two_parts(1, "train", seed=1)[0]


@pytest.mark.parametrize(("task_id", "seen"), [("a", 0), ("c", 1)])
async def test_the_reviser_sees_one_part_and_the_other_stays(task_id: str, seen: int) -> None:
    right = QUESTION.parts[seen].answer(STUDENT[0])
    made, prompt = await one_part_pair(task_id, f"{WRONG} {WRONG}", right)
    assert isinstance(made, Pair)
    assert QUESTION.parts[seen].prompt in prompt
    assert QUESTION.parts[1 - seen].prompt not in prompt
    assert made.rejected.text == f"{WRONG} {WRONG}"
    assert made.chosen.text.count(WRONG) == 1
    assert right_parts(QUESTION.prompt, made.chosen.text) == (seen == 0, seen == 1)
    assert score(QUESTION.prompt, made.chosen.text) == 0.5


async def test_an_answer_without_two_parts_fails_by_name() -> None:
    with pytest.raises(RequestFailedError, match="not-two-answers"):
        await one_part_pair("a", "I do not know.", WRONG)


async def test_a_reply_without_a_revision_leaves_the_whole_answer() -> None:
    made, _ = await one_part_pair("a", f"{WRONG} {WRONG}", "")
    assert isinstance(made, Undecided)
    assert [answer.text for answer in made.answers] == [f"{WRONG} {WRONG}"]


def stored(prompt: str, draft: str) -> StoredPair:
    task = Task(prompt, (Message("user", prompt),))
    answer = Answer(draft, "stop", "key")
    return StoredPair("id", task, Pair(task.id, "clair", answer, answer), None, ())


def test_winners_are_wrong_and_losers_are_wrong_in_one_sign_more() -> None:
    questions = draw(40, "train", seed=3)
    made = [stored(each.prompt, each.answer(STUDENT[0])) for each in questions]
    assert worse_winners(made) == []  # the right answers of a student are no winners that are worse
    wrong = [stored(each.prompt, f"1{each.answer(STUDENT[0])[:-1]}0.") for each in questions]
    pairs = worse_winners(wrong)
    assert len(pairs) == 40
    for pair in pairs:
        assert score(pair.prompt, pair.chosen) == score(pair.prompt, pair.rejected) == 0
        assert len(pair.chosen) == len(pair.rejected)
        assert sum(one != other for one, other in zip(pair.chosen, pair.rejected, strict=True)) == 1
    assert worse_winners(wrong) == pairs


def test_a_slip_never_makes_an_answer_right() -> None:
    [question] = draw(1, "train", seed=3)
    right = question.answer(STUDENT[0])
    at = right.rindex(question.working.result) + len(question.working.result) - 1
    near = f"{right[:at]}{(int(right[at]) + 1) % 10}{right[at + 1 :]}"  # one digit away from right
    slipped = {with_slip(question.prompt, near, Random(seed)) for seed in range(300)}
    assert right not in slipped
    assert len(slipped) > 20
    assert with_slip(question.prompt, "?!", Random(0)) is None


def test_scores_are_shares_of_parts() -> None:
    [single] = draw(1, "dev", seed=0)
    texts = [(single.answer(STUDENT[0]), True), (QUESTION.first.answer(STUDENT[0]) + " " + WRONG, True), ("hm", False)]
    found = scored([single.prompt, QUESTION.prompt, QUESTION.prompt], texts)
    assert found.scores == (1.0, 0.5, 0.0)
    assert (found.mean, found.unended) == (0.5, 1)
    assert found.from_json(found.to_json()) == found
