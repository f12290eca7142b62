"""Rows of every usual shape become pairs, and anything else is an error that names the row."""

import json

import pytest

from clairgen.errors import InputError
from clairgen.pair_cells import ThinkingPolicy
from clairgen_train.data.rows import answer_row, pair_row, row_kind
from clairgen_train.settings import Objective

USER = {"role": "user", "content": "2 + 2?"}
RIGHT, WRONG = {"role": "assistant", "content": "4"}, {"role": "assistant", "content": "5"}


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"prompt": [USER], "chosen": [RIGHT], "rejected": [WRONG]}, "messages"),
        ({"prompt": "2 + 2?", "chosen": [USER, RIGHT], "rejected": [USER, WRONG]}, "whole conversations"),
        ({"chosen": [USER, RIGHT], "rejected": [USER, WRONG]}, "whole conversations"),
        ({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, "text"),
        ({"prompt": [USER], "chosen": "4", "rejected": "5"}, "text"),
        ({"prompt": json.dumps([USER]), "chosen": json.dumps([RIGHT]), "rejected": json.dumps([WRONG])}, "messages"),
        ({"chosen": json.dumps([USER, RIGHT]), "rejected": [USER, WRONG]}, "whole conversations"),
        ({"prompt": json.dumps([USER]), "chosen": "4", "rejected": "5"}, "text"),
    ],
)
def test_every_usual_shape_is_the_same_pair(row: dict[str, object], shape: str) -> None:
    read = pair_row(row, 1)
    assert (read.prompt, read.chosen, read.rejected, read.shape) == ([USER], "4", "5", shape)
    assert read.pair_id == pair_row({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, 9).pair_id


def test_earlier_turns_and_system_messages_stay_in_the_prompt() -> None:
    earlier = [{"role": "system", "content": "Be brief."}, USER, RIGHT, {"role": "user", "content": "And 3 + 3?"}]
    read = pair_row({"chosen": [*earlier, RIGHT], "rejected": [*earlier, WRONG]}, 1)
    assert read.prompt == earlier


def test_a_row_may_have_its_own_objective_and_weight() -> None:
    row = {"prompt": [USER], "chosen": [RIGHT], "rejected": [WRONG]}
    read = pair_row(row | {"objective": "apo-down", "weight": 0.5, "pair_id": "a"}, 1)
    assert (read.objective, read.weight, read.pair_id) == (Objective.APO_DOWN, 0.5, "a")
    assert pair_row(row | {"objective": None}, 1).weight == 1.0


def test_an_objective_is_not_read_where_it_is_not_used() -> None:
    row = {"prompt": [USER], "chosen": [RIGHT], "rejected": [WRONG], "objective": "ppo"}
    assert pair_row(row, 1, own_objective=False).objective is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"chosen": None}, "row 7 of the data set has no `chosen`"),
        ({"rejected": None}, "row 7 of the data set has no `rejected`"),
        ({"rejected": []}, "row 7 of the data set has no `rejected`"),
        ({"chosen": "4", "rejected": "5", "prompt": None}, "row 7 of the data set has no `prompt`"),
        ({"chosen": 4}, "`chosen` in row 7 of the data set is neither text nor a list of messages"),
        ({"chosen": [{"role": "assistant"}]}, "has a message without a text `role` and `content`"),
        ({"prompt": [RIGHT]}, "the prompt in row 7 of the data set has no user message"),
        ({"chosen": [USER, RIGHT], "rejected": [WRONG]}, "do not begin with the same prompt"),
        ({"chosen": [USER, USER], "rejected": [USER, WRONG]}, "does not end with an assistant's message"),
        ({"chosen": "4", "rejected": [WRONG]}, "`chosen` in row 7 .* is text and `rejected` is messages"),
        ({"chosen": "4", "rejected": json.dumps([WRONG])}, "is text and `rejected` is messages"),
        ({"chosen": str([RIGHT])}, "`chosen` in row 7 .* is a list of messages as text, but not valid JSON"),
        ({"chosen": [RIGHT | {"tool_calls": [{"id": "c1"}]}]}, "`chosen` in row 7 .* has a message with `tool_calls`"),
        ({"chosen": [RIGHT | {"reasoning_content": "hm"}]}, "has a message with `reasoning_content`; thoughts"),
        ({"prompt": [USER, {"role": "tool", "content": "18"}, USER]}, "`prompt` in row 7 .* the role `tool`"),
        ({"prompt": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "a list of parts"),
        ({"tools": [{"type": "function"}]}, "row 7 of the data set has the column `tools`, which would be lost"),
        (
            {"chat_template_kwargs": "thinking"},
            "`chat_template_kwargs` in row 7 .* is not an object with the template's",
        ),
        ({"chat_template_kwargs": {"tokenize": True}}, "sets `tokenize`, which training sets itself; leave it out"),
        ({"objective": "ppo"}, "`objective` in row 7 of the data set is 'ppo'"),
        ({"objective": "sft"}, "cannot be set for single pairs"),
        ({"weight": -1}, "`weight` in row 7 of the data set is -1"),
        (
            {"weight": None},
            r"`weight` in row 7 of the data set is missing; .* \(1 is that of an ordinary row\)",
        ),
        (
            {"margin": None},
            r"is missing; every row needs one \(0 asks for none\), or none does",
        ),
        ({"margin": -0.5}, "`margin` in row 7 of the data set is -0.5; it must be a finite number of at least 0"),
        ({"margin": float("nan")}, "`margin` in row 7 of the data set is nan"),
        ({"margin": "2"}, "`margin` in row 7 of the data set is '2'"),
        ({"weight": float("nan")}, "is nan; it must be a finite number of at least 0"),
    ],
)
def test_a_row_that_is_not_a_pair_is_an_error_that_names_the_row(columns: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        pair_row({"prompt": [USER], "chosen": [RIGHT], "rejected": [WRONG]} | columns, 7)


@pytest.mark.parametrize(
    ("row", "shape", "prompt", "answer", "label"),
    [
        ({"prompt": [USER], "completion": [RIGHT], "label": True}, "labeled answers", [USER], RIGHT, True),
        ({"prompt": [USER], "completion": json.dumps([WRONG]), "label": 0}, "labeled answers", [USER], WRONG, False),
        ({"prompt": USER["content"], "completion": RIGHT["content"]}, "answers", [USER], RIGHT, None),
        ({"messages": [USER, WRONG, USER, RIGHT]}, "conversations", [USER, WRONG, USER], RIGHT, None),
    ],
)
def test_single_answers_are_read_in_trls_shapes(
    row: dict[str, object], shape: str, prompt: object, answer: dict[str, str], label: bool | None
) -> None:
    read = answer_row(row, 1)
    assert (read.shape, read.prompt, read.chosen, read.label) == (shape, prompt, answer["content"], label)
    assert read.rejected is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": [USER], "completion": None}, "row 7 of the data set has no `completion`"),
        ({"prompt": "2?", "completion": [RIGHT]}, "`prompt` in row 7 .* is text and `completion` is messages"),
        ({"prompt": [USER], "completion": [RIGHT, USER, RIGHT]}, "has 3 messages; give one assistant message"),
        ({"prompt": [USER], "completion": [USER]}, "`completion` in row 7 .* does not end with an assistant's message"),
        ({"prompt": [USER], "completion": [RIGHT], "label": "good"}, "`label` in row 7 of the data set is 'good'"),
        ({"prompt": [USER], "completion": [RIGHT], "label": None}, "`label` in row 7 of the data set is None"),
        ({"messages": [RIGHT]}, "has no user message"),
        ({"messages": []}, "has no `messages`"),
        ({"messages": "hello"}, "`messages` in row 7 .* is neither text nor a list"),
        ({"messages": [USER, RIGHT], "tools": "[{}]"}, "has the column `tools`"),
    ],
)
def test_a_row_that_is_not_a_single_answer_is_an_error_that_names_the_row(row: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        answer_row(row, 7)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            ["text"],
            "has the columns text; pairs need prompt, chosen and rejected, single answers prompt and completion",
        ),
        (["prompt", "chosen"], "has no column rejected"),
        (["completion", "messages", "prompt"], "completion and messages, either of which may be the answer"),
    ],
)
def test_columns_of_no_kind_are_refused(columns: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        row_kind(columns, "data")


def test_thoughts_that_are_not_one_text_are_refused_by_row() -> None:
    for thoughts in ({"reasoning_content": ["hm"]}, {"reasoning_content": "hm", "thinking": "else"}):
        row = {"prompt": [USER], "chosen": [RIGHT | thoughts], "rejected": [WRONG]}
        with pytest.raises(InputError, match="`chosen` in row 3 of the data set has a message whose thoughts"):
            pair_row(row, 3, thinking=ThinkingPolicy.KEEP)


def test_a_single_answer_keeps_its_thoughts_too() -> None:
    thought = RIGHT | {"reasoning_content": "I add."}
    for row in ({"prompt": [USER], "completion": [thought], "label": True}, {"messages": [USER, thought]}):
        read = answer_row(row, 1, thinking=ThinkingPolicy.KEEP)
        assert read.answers == [RIGHT | {"reasoning_content": "I add."}]
        assert answer_row(row, 1, thinking=ThinkingPolicy.DROP).answers == [RIGHT]
