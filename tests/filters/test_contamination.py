import json
import os
from pathlib import Path

import pytest

from clairgen.errors import ConfigError
from clairgen.filters.contamination import Contamination, Evaluations, overlaps_evaluation
from clairgen.filters.filter import Candidate, Fault
from clairgen.records import Message
from tests.filters.pairs import pair

ITEM = (
    "A farmer has seventeen sheep and all but nine of them run away in the night through a gap in the fence; "
    "how many sheep are left in the morning?"
)
ROW = {
    "id": "q-1",
    "category": "arithmetic",
    "question": ITEM,
    "options": ["Nine", "Eight"],
    "meta": {"hint": "Read it once more."},
}


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "eval.jsonl"
    path.write_text(
        json.dumps(ROW) + "\n\n" + json.dumps(["What is the boiling point of water?"]) + "\n", encoding="utf-8"
    )
    return path


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (ITEM, "1.00"),
        (ITEM.upper().replace(" ", "\n"), "1.00"),
        (f"Answer with one number only. {ITEM}", "0.78"),
        ("Tell me: what is the boiling point of water?", None),
        ("What is the boiling point of WATER", "1.00"),
        ("Read it once more!", "1.00"),
        ("Nine", None),
        ("arithmetic", None),
        ("A farmer has seventeen sheep and some goats, and wants to know how many stalls the barn should have.", None),
        ("", None),
    ],
)
def test_a_prompt_overlaps_by_its_n_grams_or_as_a_whole(evaluation: Path, text: str, share: str | None) -> None:
    found = overlaps_evaluation(Contamination(files=(evaluation,)))(Candidate(pair(), prompt=[Message("user", text)]))
    expected = Fault("overlaps-evaluation", f"eval.jsonl {share}")
    assert found == (expected if share else None)


def test_shorter_n_grams_find_more(evaluation: Path) -> None:
    text = "He said that a farmer has seventeen sheep and a dog."
    assert Evaluations.read([evaluation], 13).overlap(text) is None
    assert Evaluations.read([evaluation], 5).overlap(text) == ("eval.jsonl", 2 / 7)


def test_the_file_with_most_overlap_is_named(tmp_path: Path, evaluation: Path) -> None:
    csv, txt = tmp_path / "items.csv", tmp_path / "items.txt"
    csv.write_text(
        f'id,question\n1,"{ITEM} Say why, and how you know that it is so, in a sentence."\n', encoding="utf-8"
    )
    txt.write_text(f"first line\n{ITEM[:70]}\n", encoding="utf-8")
    text = f"{ITEM} Say why, and how you know that it is so, in a sentence."
    assert Evaluations.read([txt, evaluation, csv], 13).overlap(text) == ("items.csv", 1.0)
    assert Evaluations.read([txt], 13).overlap(text) is not None


def test_only_what_is_asked_is_looked_at(evaluation: Path) -> None:
    prompt = [Message("system", ITEM), Message("user", "Name a lake in the north of Finland.")]
    assert overlaps_evaluation(Contamination(files=(evaluation,)))(Candidate(pair(), prompt=prompt)) is None


def test_no_files_no_overlap() -> None:
    assert Evaluations.read([], 13).overlap(ITEM) is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.jsonl", None, r"there is no evaluation file .*absent\.jsonl; check `files` under `contamination`"),
        (
            "eval.parquet",
            b"",
            r"read from \.jsonl, \.csv, \.txt files; .*eval\.parquet \(`files` under `contamination`\) is none of them",
        ),
        (
            "bad.jsonl",
            b'{"question": "Why?"}\n{"question',
            r"line 2 of .*bad\.jsonl is not valid JSON .*\(`files` under `contamination`\)",
        ),
        ("bad.txt", b"\xff\xfe\xff", r"bad\.txt \(`files` under `contamination`\) cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_in_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as refused:
        Evaluations.read([path], 13)
    assert "\n" not in str(refused.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "eval.txt").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        Evaluations.read([tmp_path / "eval.txt"], 13)


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "eval.txt")
    with pytest.raises(ConfigError, match="it is a pipe or a device"):
        Evaluations.read([tmp_path / "eval.txt"], 13)


def test_two_files_of_one_name_are_both_looked_through(tmp_path: Path) -> None:
    item = "which of the many rivers that cross the wide plains of the north is the longest one"
    for folder, text in (
        ("a", item),
        ("b", "something else that nobody asks about at all, which has many words to be counted here"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test.txt").write_text(text + "\n")
    files = [tmp_path / "a" / "test.txt", tmp_path / "b" / "test.txt"]
    found = Evaluations.read(files, 13).overlap(f"Tell me: {item}?")
    assert found is not None
    assert found[0] == str(files[0])
    assert found[1] > 0.5
