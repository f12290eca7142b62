"""Files that cannot be read as pairs are one sentence each."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from clairgen.errors import InputError
from clairgen_train.data.load import data_hash, read_split
from clairgen_train.data.tokenize import PairTokenizer, TokenLimits
from tests.exporting.test_trl import byte_tokenizer
from tests.training.small_run import pair

LINES = [json.dumps(pair(number)) for number in range(4)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "torn.jsonl",
            "\n".join(LINES)[:-30],
            r"torn.jsonl line 4: it is not valid JSON \(.*cut off; correct or remove",
        ),
        ("middle.jsonl", "\n".join([*LINES, LINES[0][:40], *LINES]), "middle.jsonl line 5: it is not valid JSON"),
        ("surrogate.jsonl", "\n".join([*LINES, LINES[0].replace("It is", "\\ud83d")]), "line 5: it contains half"),
        ("empty.jsonl", "", "is empty"),
        ("pairs.csv", "prompt,chosen,rejected\n", "is not a data set that can be read; give a folder"),
    ],
)
def test_a_file_that_is_not_a_data_set_of_pairs_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        read_split(str(tmp_path / name), None, "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("utf16.jsonl", "\n".join(LINES).encode("utf-16"), "is UTF-16 text; convert it: iconv"),
        ("packed.jsonl", gzip.compress("\n".join(LINES).encode(), mtime=0), "is compressed .gzip."),
        ("packed.jsonl.gz", b"", "unpack it, for instance with gunzip --keep packed.jsonl.gz"),
        ("array.jsonl", json.dumps([pair(1)]).encode(), "is one JSON array; write one object a line"),
    ],
)
def test_a_file_in_another_form_is_refused_with_the_way_out(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_split(str(tmp_path / name), None, "train")


def test_a_torn_line_in_a_folder_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "train-1.jsonl").write_text("\n".join(LINES))
    (tmp_path / "train-2.jsonl").write_text("\n".join([*LINES, LINES[0][:40], *LINES]))
    with pytest.raises(InputError, match=r"train-2.jsonl line 5: it is not valid JSON"):
        read_split(str(tmp_path), None, "train")


def test_a_data_set_without_a_split_to_train_on_names_those_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split in ("train_prefs", "test_prefs"):
        Dataset.from_list([pair(1)]).to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    with pytest.raises(InputError, match="no split `train`; it has test_prefs, train_prefs: name the one"):
        read_split(str(tmp_path), None, "train")
    rows = read_split(str(tmp_path), None, "train_prefs", required=True)
    assert rows is not None
    assert len(rows) == 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pairs.jsonl")
    for read in (data_hash, lambda data: read_split(data, None, "train")):
        with pytest.raises(InputError, match="it is a pipe or a device"):
            read(str(tmp_path / "pairs.jsonl"))


def test_a_test_split_without_rows_is_as_if_there_were_none(tmp_path: Path) -> None:
    Dataset.from_list([pair(1)]).select([]).to_parquet(tmp_path / "test.parquet")
    Dataset.from_list([pair(number) for number in range(4)]).to_parquet(tmp_path / "train.parquet")
    assert read_split(str(tmp_path), None, "test") is None
    rows = read_split(str(tmp_path), None, "train")
    assert rows is not None
    assert len(rows) == 4


def test_a_parquet_file_without_rows_is_named(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([pair(number) for number in range(3)])
    for split, count in (("train", 3), ("test", 0)):
        pq.write_table(rows.slice(0, count), tmp_path / f"{split}-00000.parquet")
    with pytest.raises(
        InputError, match=r"/test-00000\.parquet has no rows, so the data set cannot be read; remove that file"
    ):
        read_split(str(tmp_path), None, "train")


def test_text_in_another_encoding_is_an_error_that_names_the_row(tmp_path: Path) -> None:
    rows = [*LINES, json.dumps(pair(5, rejected=[{"role": "assistant", "content": "caf\u00e9"}]), ensure_ascii=False)]
    (tmp_path / "latin1.jsonl").write_text("\n".join(rows), encoding="latin-1")
    data = read_split(str(tmp_path / "latin1.jsonl"), None, "train")
    assert data is not None
    with pytest.raises(InputError, match="row 5 of the data set is not UTF-8 text; convert the file to UTF-8"):
        list(PairTokenizer(byte_tokenizer(), 300, TokenLimits(64, 64)).pairs(data))


def test_the_revision_of_a_data_set_on_the_hub_is_the_one_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = Dataset.from_list([pair(1)])
    asked: list[object] = []

    def answering(answer: object) -> Callable[..., object]:
        def call(*_: object, revision: object = None, **__: object) -> object:
            asked.append(revision)
            return answer

        return call

    monkeypatch.setattr(datasets, "get_dataset_config_names", answering(["default"]))
    monkeypatch.setattr(datasets, "get_dataset_split_names", answering(["train_prefs"]))
    monkeypatch.setattr(datasets, "load_dataset", answering(rows))
    assert read_split("owner/name", None, "train_prefs", revision="abc123", required=True) is rows
    assert asked == ["abc123"] * 3
