"""Labelled pairs and recorded answers in the forms of other projects' files."""

import json
from pathlib import Path
from typing import Any

import pytest

from clairgen.errors import InputError
from clairgen.evaluation.labelled_pairs import LabelledPairs, LeftOut, read_labelled_pairs
from clairgen.evaluation.recorded_outputs import read_outputs, read_prompts

Row = dict[str, Any]


def labelled(tmp_path: Path, *rows: Row) -> LabelledPairs:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_labelled_pairs(path)


def sides(found: LabelledPairs) -> list[tuple[str, str]]:
    return [(pair.better, pair.worse) for pair in found.pairs]


def test_judgebench_labels_say_which_response_is_better(tmp_path: Path) -> None:
    row = {"pair_id": "p", "source": "mmlu-pro-law", "question": "Q?", "response_A": "a", "response_B": "b"}
    found = labelled(
        tmp_path, row | {"label": "A>B"}, row | {"label": "B>A"}, row | {"label": "A=B"}, row | {"label": None}
    )
    assert sides(found) == [("a", "b"), ("b", "a")]
    assert found.left_out == {LeftOut.TIED: 1, LeftOut.UNLABELLED: 1}
    assert found.pairs[0].part == "mmlu-pro-law"
    assert found.pairs[0].task.messages[0].content == "Q?"


def test_a_row_of_rewardbench_2_is_a_pair_for_each_wrong_answer(tmp_path: Path) -> None:
    found = labelled(
        tmp_path, {"id": "7", "prompt": "Q?", "chosen": ["c"], "rejected": ["x", "y", "z"], "subset": "Math"}
    )
    assert sides(found) == [("c", "x"), ("c", "y"), ("c", "z")]
    assert {(pair.row, pair.part) for pair in found.pairs} == {("7", "Math")}


def test_several_right_answers_are_no_pair(tmp_path: Path) -> None:
    found = labelled(
        tmp_path,
        {"prompt": "Q?", "chosen": ["c"], "rejected": ["x"]},
        {"prompt": "Name a color.", "chosen": ["red", "blue"], "rejected": ["seven"]},
    )
    assert found.left_out == {LeftOut.SEVERAL_RIGHT: 1}


def test_pairs_as_clairgen_exports_them_are_read(tmp_path: Path) -> None:
    row = {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q?"}],
        "chosen": [{"role": "assistant", "content": "c"}],
        "rejected": [{"role": "assistant", "content": "r"}],
        "recipe": "clair",
    }
    found = labelled(tmp_path, row)
    assert sides(found) == [("c", "r")]
    assert [message.role for message in found.pairs[0].task.messages] == ["system", "user"]
    assert found.pairs[0].part == "clair"


def test_alpacaeval_annotations_are_read_by_their_preference(tmp_path: Path) -> None:
    row = {"instruction": "Q?", "output_1": "one", "output_2": "two"}
    found = labelled(tmp_path, *(row | {"preference": value} for value in (1, 2.0, 1.0003, 1.9, 1.5, 0, None)))
    assert sides(found) == [("one", "two"), ("two", "one"), ("one", "two"), ("two", "one")]
    assert found.left_out == {LeftOut.TIED: 2, LeftOut.UNLABELLED: 1}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"question": "Q?", "response_A": "a", "response_B": "b", "label": "A"}, "its label 'A' is none of"),
        ({"prompt": "Q?", "output_1": "a", "output_2": "b", "preference": 3}, "its preference 3 is no number from 1"),
        ({"prompt": "Q?", "chosen": 4, "rejected": "b"}, "its `chosen` is neither a text nor a list of texts"),
        ({"prompt": "Q?", "chosen": "a\0", "rejected": "b"}, "its `chosen` contains a NUL character"),
        (
            {
                "prompt": "Q?",
                "chosen": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "a"}],
                "rejected": "b",
            },
            "its `chosen` is a conversation",
        ),
        ({"prompt": "Q?", "a": "x"}, "has no labelled pairs in a form that is read"),
        ({"chosen": "a", "rejected": "b"}, "has no column with a prompt"),
        ({"prompt": "Q?", "chosen": "a", "rejected": "a"}, r"has no labelled pair \(1 identical-answers\)"),
    ],
)
def test_what_is_not_understood_is_one_sentence(tmp_path: Path, row: Row, why: str) -> None:
    with pytest.raises(InputError, match=why):
        labelled(tmp_path, row)


def test_recorded_answers_may_be_one_json_array(tmp_path: Path) -> None:
    path = tmp_path / "model_outputs.json"
    path.write_text(json.dumps([{"instruction": "Q?", "output": "a", "generator": "g", "dataset": "koala"}]))
    found = read_outputs(path)
    assert found.model == "g"
    assert found.to(read_prompts(path)) == ["a"]


def test_a_prompt_that_comes_twice_gets_both_answers_in_order(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"prompt": "Q?", "answer": "a"}\n{"prompt": "Q?", "answer": "b"}\n')
    found = read_outputs(path)
    assert (found.model, found.to(read_prompts(path))) == ("answers", ["a", "b"])


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (
            '{"prompt": "Q?"}\n',
            "line 1 of .* has no recorded answer: none of output, answer, response, completion is a text",
        ),
        (
            '{"prompt": "Q?", "output": "a", "model": "x"}\n{"prompt": "R?", "output": "a", "model": "y"}\n',
            "of 2 models",
        ),
        ('{"output": "a"}\n', "has no column with a prompt"),
        ("not JSON\n", "1 row of .* cannot be used; answers.jsonl line 1"),
    ],
)
def test_recorded_answers_that_cannot_be_used_are_one_sentence(tmp_path: Path, lines: str, why: str) -> None:
    (tmp_path / "answers.jsonl").write_text(lines)
    with pytest.raises(InputError, match=why):
        read_outputs(tmp_path / "answers.jsonl")


def test_a_prompt_without_a_recorded_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"prompt": "Q?", "output": "a"}\n')
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Q?"}\n{"prompt": "R?"}\n')
    with pytest.raises(InputError, match=r"no answer to 1 of 2 prompts, the first is that of prompts.jsonl line 2"):
        read_outputs(tmp_path / "answers.jsonl").to(read_prompts(tmp_path / "prompts.jsonl"))


@pytest.mark.parametrize(
    ("content", "why"), [("{", "is not valid JSON"), ('{"a": 1}', "is not a JSON array of objects")]
)
def test_a_json_file_has_to_be_an_array(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "answers.json").write_text(content)
    with pytest.raises(InputError, match=why):
        read_outputs(tmp_path / "answers.json")
