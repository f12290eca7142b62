from pathlib import Path

import pytest

from clairgen.config.models import TaskSource
from clairgen.errors import InputError
from clairgen.records import Message, Task
from clairgen.sources import BadRow
from clairgen.tasks import Row, prompt_error, read_tasks, task_id_of


def rows(path: Path, **source: object) -> list[Row | BadRow]:
    return list(read_tasks(TaskSource(path=path, **source), seed=0))


def prompts(found: list[Row | BadRow]) -> list[str]:
    return [row.task.messages[-1].content for row in found if isinstance(row, Row)]


def test_jsonl_rows_keep_their_ids_and_positions(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": 7, "prompt": "one"}\n\n{"prompt": "two"}\n')
    one, two = rows(path)
    assert one == Row(Task("7", (Message("user", "one"),)), "t.jsonl line 1", named=True)
    assert two == Row(
        Task(task_id_of((Message("user", "two"),)), (Message("user", "two"),)), "t.jsonl line 3", named=False
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"prompt": "x"', "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not valid JSON"),
        ('{"text": "x"}', "no `prompt` or `messages`"),
        ('{"prompt": null}', "no `prompt` or `messages`"),
        ('{"prompt": 3}', "neither a text nor a list"),
        ('{"messages": []}', "neither a text nor a list"),
        ('{"messages": [{"role": "user"}]}', "content must be a text"),
        (
            '{"messages": [{"role": "robot", "content": "x"}]}',
            "role must be one of system, user, assistant, not 'robot'",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}',
            "ends with 'assistant'",
        ),
        ('{"messages": ["x"]}', "role must be one of"),
        ('{"id": "\\ud800", "prompt": "x"}', "its id contains half a surrogate pair"),
    ],
)
def test_a_row_that_holds_no_task_is_reported_with_its_position(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"prompt": "good"}\n' + line + '\n{"prompt": "good too"}\n')
    good, bad, after = rows(path)
    assert isinstance(good, Row)
    assert isinstance(after, Row)
    assert isinstance(bad, BadRow)
    assert bad.where == "t.jsonl line 2"
    assert why in bad.why


def test_an_empty_messages_column_beside_a_prompt_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"messages": null, "prompt": "one"}\n{"messages": "", "prompt": "two"}\n{"messages": [], "prompt": "three"}\n'
    )
    assert prompts(rows(path)) == ["one", "two", "three"]


def test_bytes_that_are_no_text_are_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"prompt": "\xff\xfe"}\n{"prompt": "good"}\n')
    bad, good = rows(path)
    assert isinstance(bad, BadRow)
    assert isinstance(good, Row)


def test_csv_and_parquet_give_the_same_tasks(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    texts = ["one", 'two, "quoted"\nline', "drei é"]
    table = tmp_path / "t.csv"
    table.write_text("id,prompt\n" + "".join(f'{i},"{t.replace(chr(34), chr(34) * 2)}"\n' for i, t in enumerate(texts)))
    columns = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": [0, 1, 2], "prompt": texts}), columns)
    assert prompts(rows(table)) == prompts(rows(columns)) == texts
    assert [row.task.id for row in rows(table) if isinstance(row, Row)] == ["0", "1", "2"]


def test_a_data_set_of_the_hub_is_read_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` takes owner/name for a folder where there is one, which is all of the hub that a test can have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "train.jsonl").write_text(
        "".join(f'{{"instruction": "do {i}"}}\n' for i in range(50))
    )
    found = list(read_tasks(TaskSource(hub="owner/name", column="instruction", sample=5), seed=3))
    assert len(prompts(found)) == 5
    assert all(prompt.startswith("do ") for prompt in prompts(found))
    with pytest.raises(InputError, match=r"the hub data set 'owner/name' \(split 'test'\) cannot be loaded"):
        list(read_tasks(TaskSource(hub="owner/name", split="test"), seed=0))


def test_a_named_column_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("instruction,prompt\ndo,not\n")
    assert prompts(rows(path, column="instruction")) == ["do"]


def test_a_file_without_the_column_is_refused_with_those_it_has(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"instruction": "x", "output": "y"}\n')
    with pytest.raises(InputError, match=r"no column 'prompt' or 'messages'; it has instruction, output: .* `column`"):
        rows(path)
    with pytest.raises(InputError, match=r"no column 'question'"):
        rows(path, column="question")


def test_sample_is_uniform_by_seed_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"prompt": "{number}"}}\n' for number in range(100)))
    one = prompts(rows(path, sample=10))
    assert one == prompts(rows(path, sample=10))
    assert len(one) == 10
    assert one == sorted(one, key=int)
    assert prompts(list(read_tasks(TaskSource(path=path, sample=10), seed=1))) != one
    assert len(prompts(rows(path, sample=1000))) == 100


def test_missing_unreadable_and_unknown_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file of tasks"):
        rows(tmp_path / "absent.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        (tmp_path / "folder.jsonl").mkdir()
        rows(tmp_path / "folder.jsonl")
    with pytest.raises(InputError, match=r"read from \.jsonl, \.csv, \.parquet files"):
        rows(tmp_path / "tasks.txt")
    broken = tmp_path / "t.parquet"
    broken.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not valid parquet"):
        rows(broken)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("x", None),
        ("", "blank-prompt"),
        ("\n ", "blank-prompt"),
        ("a\0", "nul-in-prompt"),
        ("\udc00", "surrogate-in-prompt"),
    ],
)
def test_what_cannot_be_sent_has_a_name(prompt: str, reason: str | None) -> None:
    fault = prompt_error(Task("t", (Message("user", prompt),)))
    assert (fault and fault[0]) == reason
