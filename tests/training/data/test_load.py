"""Files that cannot be read as pairs are one sentence each."""

import json
from pathlib import Path

import pytest
from datasets import Dataset

from clairgen.errors import InputError
from clairgen_train.data.load import read_split
from clairgen_train.data.tokenize import PairTokenizer
from clairgen_train.data.truncate import TokenLimits
from tests.exporting.test_trl import byte_tokenizer
from tests.training.small_run import pair

LINES = [json.dumps(pair(number)) for number in range(4)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("torn.jsonl", "\n".join(LINES)[:-30], "cannot be read"),
        ("surrogate.jsonl", "\n".join([*LINES, LINES[0].replace("It is", "\\ud83d")]), "cannot be read"),
        ("empty.jsonl", "", "is empty"),
        ("pairs.csv", "prompt,chosen,rejected\n", "is not a data set that can be read; give a folder"),
    ],
)
def test_a_file_that_is_not_a_data_set_of_pairs_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        read_split(str(tmp_path / name), None, "train")
    assert "\n" not in str(caught.value)


def test_a_test_split_without_rows_is_as_if_there_were_none(tmp_path: Path) -> None:
    Dataset.from_list([pair(1)]).select([]).to_parquet(tmp_path / "test.parquet")
    Dataset.from_list([pair(number) for number in range(4)]).to_parquet(tmp_path / "train.parquet")
    assert read_split(str(tmp_path), None, "test") is None
    rows = read_split(str(tmp_path), None, "train")
    assert rows is not None
    assert len(rows) == 4


def test_text_in_another_encoding_is_an_error_that_names_the_row(tmp_path: Path) -> None:
    rows = [*LINES, json.dumps(pair(5, rejected=[{"role": "assistant", "content": "caf\u00e9"}]), ensure_ascii=False)]
    (tmp_path / "latin1.jsonl").write_text("\n".join(rows), encoding="latin-1")
    data = read_split(str(tmp_path / "latin1.jsonl"), None, "train")
    assert data is not None
    with pytest.raises(InputError, match="row 5 of the data set is not UTF-8 text; convert the file to UTF-8"):
        list(PairTokenizer(byte_tokenizer(), 300, TokenLimits(64, 64)).pairs(data))
