"""What shape the pairs of a data set are found to have, and what each row of it gives."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from clairgen.errors import InputError
from clairgen.pair_shapes import find_shape
from clairgen.records import Message
from clairgen.row_pairs import PairShape, ReadRow, RowPair, read_pairs

Row = Mapping[str, Any]
ASKED, BETTER, WORSE = "What is 2 plus 2?", "It is 4.", "It is 5."
USER, GOOD, BAD = (
    {"role": "user", "content": ASKED},
    {"role": "assistant", "content": BETTER},
    {"role": "assistant", "content": WORSE},
)
HH = "\n\nHuman: {}\n\nAssistant: {}"
SCORED = [{"response": WORSE, "model": "w", "overall_score": 3}, {"response": BETTER, "model": "b", "overall_score": 8}]
RANKED = [{"answer": WORSE, "model": "w", "rank": 2.0}, {"answer": BETTER, "model": "b", "rank": 1.0}]
OF_TWO = {"response_1": BETTER, "response_2": WORSE}

SHAPES: Mapping[str, tuple[str, list[Row]]] = {
    "texts": ("a chosen", [{"prompt": ASKED, "chosen": BETTER, "rejected": WORSE}]),
    "message lists": ("a chosen", [{"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}]),
    "a text prompt and messages": ("a chosen", [{"prompt": ASKED, "chosen": [GOOD], "rejected": [BAD]}]),
    "implicit prompts": ("whole", [{"chosen": [USER, GOOD], "rejected": [USER, BAD]}]),
    "HH": ("whole", [{"chosen": HH.format(ASKED, BETTER), "rejected": HH.format(ASKED, WORSE)}]),
    "orca": ("a chosen", [{"system": "", "question": ASKED, "chosen": BETTER, "rejected": WORSE}]),
    "ShareGPT": (
        "a chosen",
        [
            {
                "conversations": [{"from": "human", "value": ASKED}],
                "chosen": {"from": "gpt", "value": BETTER},
                "rejected": {"from": "gpt", "value": WORSE},
            }
        ],
    ),
    "UltraFeedback": ("several", [{"instruction": ASKED, "completions": SCORED}]),
    "UltraFeedback binarized": (
        "whole",
        [{"prompt": ASKED, "chosen": [USER, GOOD], "rejected": [USER, BAD], "messages": [USER, GOOD]}],
    ),
    "generations and ratings": ("several", [{"instruction": ASKED, "generations": [WORSE, BETTER], "ratings": [1, 4]}]),
    "Nectar": ("several", [{"prompt": HH.format(ASKED, ""), "answers": RANKED}]),
    "HelpSteer": (
        "one scored",
        [
            {"prompt": ASKED, "response": WORSE, "helpfulness": 1, "verbosity": 4},
            {"prompt": ASKED, "response": BETTER, "helpfulness": 4, "verbosity": 1},
        ],
    ),
    "HelpSteer2": ("two answers", [{"prompt": ASKED, **OF_TWO, "preference_strength": -2}]),
    "HelpSteer3": (
        "two answers",
        [{"context": [USER], "response1": WORSE, "response2": BETTER, "overall_preference": 1}],
    ),
    "conversations as JSON text": (
        "whole",
        [{"chosen": json.dumps([USER, GOOD]), "rejected": json.dumps([USER, BAD])}],
    ),
}


def found(rows: Sequence[Row], **columns: str) -> tuple[PairShape, list[ReadRow]]:
    shape = find_shape(rows, columns, "data.jsonl")
    return shape, list(read_pairs([(f"row {number}", row) for number, row in enumerate(rows, start=1)], shape))


def one(rows: Sequence[Row], **columns: str) -> RowPair:
    _, [read] = found(rows, **columns)
    assert isinstance(read.found, RowPair), read.found
    return read.found


@pytest.mark.parametrize("name", SHAPES)
def test_each_usual_shape_gives_the_same_pair(name: str) -> None:
    begins, rows = SHAPES[name]
    shape, [read] = found(rows)
    assert shape.sentence.startswith(begins)
    assert isinstance(read.found, RowPair), read.found
    assert read.rows == len(rows)
    assert read.found.messages == (Message("user", ASKED),)
    assert (read.found.chosen, read.found.rejected) == (BETTER, WORSE)


def test_a_system_prompt_of_its_own_column_is_the_first_message() -> None:
    pair = one([{"system": "Be terse.", "question": ASKED, "chosen": BETTER, "rejected": WORSE}])
    assert pair.messages == (Message("system", "Be terse."), Message("user", ASKED))


def test_columns_that_have_no_role_are_kept_but_for_objects() -> None:
    rows = [{"prompt": ASKED, "chosen": BETTER, "rejected": WORSE, "source": "s", "score": 1.5, "messages": [USER]}]
    shape, [read] = found(rows)
    assert (shape.further, shape.left_behind) == (("source", "score"), ("messages",))
    assert isinstance(read.found, RowPair)
    assert read.found.further == {"source": "s", "score": 1.5}


def test_models_and_scores_of_answers_go_along() -> None:
    pair = one([{"instruction": ASKED, "completions": SCORED}])
    assert (pair.chosen_model, pair.rejected_model) == ("b", "w")
    assert pair.further == {"chosen_score": 8.0, "rejected_score": 3.0}
    assert one([{"prompt": ASKED, "answers": RANKED}]).further == {"chosen_score": 1.0, "rejected_score": 2.0}


def test_a_false_ten_does_not_win() -> None:
    false_ten = {"response": WORSE, "overall_score": 10, "annotations": {"honesty": {"Rating": "1"}}}
    fair = {"response": BETTER, "overall_score": 8}
    poor = {"response": "No.", "overall_score": 2}
    pair = one([{"instruction": ASKED, "completions": [false_ten, fair, poor]}])
    assert (pair.chosen, pair.rejected) == (BETTER, "No.")
    assert "10" in str(pair.doubt)


@pytest.mark.parametrize(
    ("row", "choices"),
    [
        ({"question": ASKED, "query": ASKED, "chosen": BETTER, "rejected": WORSE}, ("prompt=question", "prompt=query")),
        (
            {"prompt": ASKED, **OF_TWO, "overall_preference": 1, "generations": [BETTER, WORSE], "ratings": [1, 2]},
            ("first=-", "answers=-"),
        ),
        (
            {"prompt": ASKED, "generations": [BETTER, WORSE], "ratings": [1, 2], "rewards": [2, 1]},
            ("ratings", "rewards"),
        ),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_the_choices(row: Row, choices: tuple[str, str]) -> None:
    with pytest.raises(InputError) as refused:
        find_shape([row], {}, "data.jsonl")
    assert all(choice in str(refused.value) for choice in choices)


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        ({"answers": [{"text": BETTER, "toxicity": 0.1}, {"text": WORSE, "toxicity": 0.9}]}, "scores=toxicity"),
        ({"answers": [{"text": BETTER, "id": 1, "length": 9}, {"text": WORSE, "id": 2, "length": 8}]}, "scores=id"),
        ({"responses": [BETTER, WORSE], "lengths": [9, 8]}, "scores=lengths"),
    ],
)
def test_a_number_beside_answers_is_no_score_unless_it_is_called_one(answers: Row, named: str) -> None:
    row = {"prompt": ASKED, **answers}
    with pytest.raises(InputError, match=f"--column {named}"):
        find_shape([row], {}, "data.jsonl")
    role, _, name = named.partition("=")
    assert isinstance(one([row], **{role: name}), RowPair)


def test_of_ranks_the_lowest_is_the_best_in_rows_of_one_answer_too() -> None:
    rows = [{"prompt": ASKED, "response": BETTER, "rank": 1}, {"prompt": ASKED, "response": WORSE, "rank": 2}]
    shape, [read] = found(rows)
    assert "with the lowest `rank` is chosen" in shape.sentence
    assert isinstance(read.found, RowPair)
    assert (read.found.chosen, read.found.rejected) == (BETTER, WORSE)
    assert read.found.further == {"chosen_score": 1, "rejected_score": 2}


def test_answers_to_different_system_prompts_are_not_compared() -> None:
    rows = [
        {"system": system, "prompt": ASKED, "response": text, "score": score}
        for system, text, score in [("A", BETTER, 2), ("A", WORSE, 1), ("B", BETTER, 3), ("B", WORSE, 4)]
    ]
    _, reads = found(rows)
    pairs = [read.found for read in reads if isinstance(read.found, RowPair)]
    assert [(pair.messages[0].content, pair.chosen) for pair in pairs] == [("A", BETTER), ("B", WORSE)]


@pytest.mark.parametrize("more", [{"text": "", "score": 1}, {"text": "c", "score": "N/A"}, {"text": 4, "score": 9}])
def test_an_answer_that_is_not_compared_is_counted(more: Row) -> None:
    pair = one([{"prompt": ASKED, "answers": [{"text": BETTER, "score": 5}, {"text": WORSE, "score": 3}, more]}])
    assert (pair.chosen, pair.rejected) == (BETTER, WORSE)
    assert pair.doubt == "1 of its 3 answers without a text or a score"


def test_values_are_kept_in_columns_and_kinds_that_the_first_rows_do_not_have() -> None:
    row = {"prompt": ASKED, "chosen": BETTER, "rejected": WORSE}
    later = {
        "source": {"of": ["a"]},
        "late": 1,
        "price": Decimal("1.10"),
        "takes": timedelta(hours=1),
        "x\ud800": "y\ud800",
    }
    shape = find_shape([{**row, "source": "s"}], {}, "data.jsonl")
    [read] = read_pairs([("row 2", {**row, **later})], shape)
    assert isinstance(read.found, RowPair)
    assert read.found.further == {
        "source": {"of": ["a"]},
        "late": 1,
        "price": "1.10",
        "takes": "1:00:00",
        "x\ufffd": "y\ufffd",
    }


def test_a_named_column_decides() -> None:
    rows = [{"question": ASKED, "query": "Another?", "chosen": BETTER, "rejected": WORSE}]
    pair = one(rows, prompt="query")
    assert pair.messages[0].content == "Another?"
    assert pair.further == {"question": ASKED}


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"prompt": "absent"}, "has no column 'absent'"), ({"answer": "chosen"}, "there is no role 'answer'")],
)
def test_a_named_column_that_cannot_be_is_refused(columns: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_shape([{"prompt": ASKED, "chosen": BETTER, "rejected": WORSE}], columns, "data.jsonl")


def test_rows_without_pairs_are_refused_with_what_columns_there_are() -> None:
    with pytest.raises(InputError, match=r"no pairs are found .* the columns text, label; name .*--column chosen"):
        find_shape([{"text": ASKED, "label": 1}], {}, "data.jsonl")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "has no `prompt`"),
        ({"prompt": ASKED, "chosen": None, "rejected": "b"}, "has no `chosen`"),
        ({"prompt": ASKED, "chosen": "a\ud800", "rejected": "b"}, "half a surrogate pair"),
        ({"prompt": ASKED, "chosen": "a", "rejected": "b", "tools": "[{}]"}, "`tools`"),
        ({"prompt": ASKED, "chosen": "a", "rejected": "b", "history": [["Hi", "Hello"]]}, "`history` of earlier turns"),
        ({"prompt": [USER, GOOD], "chosen": "a", "rejected": "b"}, "ends with a message of the role `assistant`"),
        ({"prompt": "Another?", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "is not that of the conversations"),
        ({"prompt": ASKED, "chosen": [{**USER, "content": "x"}, GOOD], "rejected": [USER, BAD]}, "the same prompt"),
    ],
)
def test_a_row_that_holds_no_pair_says_why(row: Row, reason: str) -> None:
    _, [_, read] = found([{"prompt": ASKED, "chosen": BETTER, "rejected": WORSE}, row])
    assert isinstance(read.found, str)
    assert reason in read.found


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": ASKED, "generations": ["a", "b"], "ratings": [3, 3]}, "all equal"),
        ({"prompt": ASKED, "generations": ["a", "b"], "ratings": [3, None]}, "fewer than two"),
        ({"prompt": ASKED, "generations": ["a", "b"], "ratings": [3]}, "2 answers in `generations` and 1 in"),
        ({"prompt": ASKED, "generations": {"text": ["a", "b"], "score": [3]}, "ratings": []}, "of different lengths"),
    ],
)
def test_answers_that_scores_do_not_tell_apart_are_no_pair(row: Row, reason: str) -> None:
    _, [_, read] = found([{"prompt": "x", "generations": ["a", "b"], "ratings": [3, 4]}, row])
    assert isinstance(read.found, str)
    assert reason in read.found


def test_a_preference_of_zero_is_a_tie() -> None:
    _, [_, read] = found([{"prompt": ASKED, **OF_TWO, "preference_strength": value} for value in (1, 0)])
    assert read.found == "its `preference_strength` is 0, a tie"
