"""Files of MixEval-Hard's questions, in both forms, and rows that would make a score incomparable."""

import json
from pathlib import Path

import pytest

from clairgen.errors import InputError
from clairgen.evaluation.mixeval_questions import MixEvalQuestion, Split, read_questions

FREE_FORM = {
    "problem_type": "free-form",
    "context": None,
    "prompt": "How many legs do two spiders have?",
    "target": ["16", "sixteen", "16"],
    "benchmark_name": "GSM8k",
}
MULTIPLE_CHOICE = {
    "problem_type": "multiple-choice",
    "context": "A spider has eight legs.",
    "prompt": "How many legs does a spider have?",
    "options": ["six", "eight"],
    "target": [1],
    "benchmark_name": "BoolQ",
}


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_both_files_of_a_version_are_read(tmp_path: Path) -> None:
    free_form = written(tmp_path, "free-form.json", {"0": FREE_FORM})
    multiple_choice = written(tmp_path, "multiple-choice.json", {"0": MULTIPLE_CHOICE})

    assert read_questions([free_form, multiple_choice]) == [
        MixEvalQuestion(
            "free-form/0",
            Split.FREE_FORM,
            "GSM8k",
            None,
            "How many legs do two spiders have?",
            targets=("16", "sixteen"),
        ),
        MixEvalQuestion(
            "multiple-choice/0",
            Split.MULTIPLE_CHOICE,
            "BoolQ",
            "A spider has eight legs.",
            "How many legs does a spider have?",
            options=("six", "eight"),
            right=1,
        ),
    ]


def test_json_lines_are_read_by_either_names_of_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    other_names = {
        "id": "mc/7",
        "type": "multiple-choice",
        "benchmark": "BoolQ",
        **{key: MULTIPLE_CHOICE[key] for key in ("context", "prompt", "options", "target")},
    }
    path.write_text(f"{json.dumps(FREE_FORM)}\n{json.dumps(other_names)}\n")

    first, second = read_questions([path])

    assert (first.id, second.id) == ("free-form/1", "multiple-choice/mc/7")
    assert second.text == "A spider has eight legs.\nHow many legs does a spider have?"
    assert second.lettered_options == "A. six\nB. eight"


def test_rows_that_ask_the_same_share_a_cluster(tmp_path: Path) -> None:
    others = {"1": FREE_FORM, "2": FREE_FORM | {"context": "none"}, "3": FREE_FORM | {"prompt": "How many eyes?"}}
    questions = read_questions([written(tmp_path, "free-form.json", {"0": FREE_FORM} | others)])

    assert [question.cluster == questions[0].cluster for question in questions] == [True, True, True, False]


def test_only_reckoning_and_reasoning_need_steps(tmp_path: Path) -> None:
    rows = {
        name: FREE_FORM | {"benchmark_name": name} for name in ("GSM8k", "MATH", "BBH", "TriviaQA", "DROP", "AGIEval")
    }
    questions = read_questions([written(tmp_path, "free-form.json", rows)])

    assert [question.benchmark for question in questions if question.needs_steps] == ["GSM8k", "MATH", "BBH"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (FREE_FORM | {"problem_type": "open"}, "`problem_type` must be free-form or multiple-choice, not 'open'"),
        (FREE_FORM | {"benchmark_name": ""}, "`benchmark_name`"),
        (FREE_FORM | {"prompt": " "}, "`prompt`"),
        (FREE_FORM | {"context": 3}, "`context`"),
        (FREE_FORM | {"target": []}, "`target` of a free-form question"),
        (FREE_FORM | {"target": [16]}, "`target` of a free-form question"),
        (MULTIPLE_CHOICE | {"options": "six"}, "`options`"),
        (MULTIPLE_CHOICE | {"options": ["six"]}, "2 to 23 options, not 1"),
        (MULTIPLE_CHOICE | {"options": ["six"] * 24}, "2 to 23 options, not 24"),
        (MULTIPLE_CHOICE | {"target": [2]}, "from 0 to 1"),
        (MULTIPLE_CHOICE | {"target": [True]}, "from 0 to 1"),
        (MULTIPLE_CHOICE | {"target": ["B"]}, "from 0 to 1"),
        (MULTIPLE_CHOICE | {"target": 1}, "from 0 to 1"),
        ("a text", "it is not a JSON object"),
    ],
)
def test_a_row_that_is_no_question_is_refused(tmp_path: Path, row: object, says: str) -> None:
    path = written(tmp_path, "questions.json", {"a": row})
    with pytest.raises(InputError, match=r"questions\.json question 'a'") as refused:
        read_questions([path])
    assert says in str(refused.value)


def test_two_versions_cannot_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    earlier, later = (written(folder, "free-form.json", {"0": FREE_FORM}) for folder in (tmp_path, tmp_path / "later"))
    with pytest.raises(InputError, match="evaluate each version of MixEval-Hard by itself"):
        read_questions([earlier, later])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.json", None, "there is no file of questions"),
        ("list.json", "[]", "must be one JSON object with a question under each id"),
        ("torn.json", '{"0": {"prompt"', "is not valid JSON"),
        ("twice.json", '{"0": {}, "0": {}}', "it has the key '0' twice"),
        ("none.json", "{}", "there is no question"),
        ("torn.jsonl", '{"prompt"', "torn.jsonl line 1 holds no question: it is not valid JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        read_questions([tmp_path / name])
