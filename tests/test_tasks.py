import csv
import json
from pathlib import Path

import pytest

from clairgen.config.models import TaskSource
from clairgen.errors import InputError
from clairgen.records import Message, Task
from clairgen.sources import BadRow
from clairgen.tasks import Row, prompt_error, read_tasks, task_id_of
from tests.runs import write_tasks


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
        ('{"messages": ["x"]}', "a message must be an object with `role` and `content`"),
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


def test_messages_as_json_text_are_the_conversation(tmp_path: Path) -> None:
    conversation = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    path = write_tasks(
        tmp_path / "t.jsonl",
        [{"messages": json.dumps(conversation)}, {"prompt": json.dumps(conversation)}, {"messages": conversation}],
    )
    table = tmp_path / "t.csv"
    with table.open("w", newline="") as lines:
        csv.writer(lines).writerows([["messages"], [json.dumps(conversation)]])
    expected = (Message("system", "Be brief."), Message("user", "2 + 2?"))
    found = [*rows(path), *rows(table)]
    assert [row.task.messages for row in found if isinstance(row, Row)] == [expected] * 4


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            {"prompt": "[{'role': 'user', 'content': 'x'}]"},
            "its prompt is a list of messages as text, but not valid JSON",
        ),
        ({"messages": [{"from": "human", "value": "x"}]}, "ShareGPT"),
        ({"messages": [{"role": "tool", "content": "18"}, {"role": "user", "content": "So?"}]}, "the role `tool`"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "a list of parts"),
        ({"messages": [{"role": "user", "content": "x", "name": "alice"}]}, "`name`"),
        ({"prompt": "x", "tools": [{"type": "function"}]}, "the column `tools`, which would be lost"),
        ({"prompt": "x", "system": "Be brief."}, "the column `system`, which would be lost"),
    ],
)
def test_what_would_be_lost_makes_a_bad_row(tmp_path: Path, row: object, why: str) -> None:
    [bad] = rows(write_tasks(tmp_path / "t.jsonl", [row]))
    assert isinstance(bad, BadRow)
    assert why in bad.why


def test_an_input_beside_an_instruction_is_not_left_out(tmp_path: Path) -> None:
    path = write_tasks(
        tmp_path / "t.jsonl",
        [{"instruction": "Translate.", "input": "Good day"}, {"instruction": "Say hello.", "input": ""}],
    )
    bad, good = rows(path, column="instruction")
    assert isinstance(bad, BadRow)
    assert "`input` beside `instruction`" in bad.why
    assert isinstance(good, Row)


def test_of_a_prompt_and_messages_that_differ_one_has_to_be_chosen(tmp_path: Path) -> None:
    user, answer = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}
    path = write_tasks(tmp_path / "t.jsonl", [{"prompt": "2 + 2?", "messages": [user, answer]}])
    with pytest.raises(InputError, match=r"both `prompt` and `messages`, and they differ; .* `column: prompt` or"):
        rows(path)
    assert prompts(rows(path, column="prompt")) == ["2 + 2?"]
    [bad] = rows(path, column="messages")
    assert isinstance(bad, BadRow)
    assert "ends with 'assistant'" in bad.why
    assert prompts(rows(write_tasks(path, [{"prompt": "2 + 2?", "messages": [user]}]))) == ["2 + 2?"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'prompt\n"one\ntwo\nthree\n', "not valid CSV in the row that begins at line 2 .*check its quotes"),
        (b'id,prompt\n1,"one\n2,"two"\n3,"three"\n', "the row that begins at line 2"),
        (b'prompt\none\n"two" three\n', "the row that begins at line 3"),
        (b"prompt\ncaf\xe9\n", "not UTF-8 text .byte 0xe9.; convert the file to UTF-8"),
        (b"prompt,prompt\none,two\n", "two columns 'prompt'; rename one"),
    ],
)
def test_csv_that_would_lose_rows_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=said):
        rows(tmp_path / "t.csv")


def test_a_csv_row_of_another_length_is_a_bad_row_at_the_line_where_it_begins(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,prompt\n1,"one\nline"\n2,two,more\n\n3\n4,four\n')
    one, two, three, four = rows(tmp_path / "t.csv")
    assert isinstance(one, Row)
    assert two == BadRow("t.csv line 4", "it has 3 cells and the header has 2")
    assert three == BadRow("t.csv line 6", "it has 1 cell and the header has 2")
    assert isinstance(four, Row)


def test_parquet_text_that_is_not_utf8_is_a_bad_row(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    texts = pyarrow.array([b"one", b"caf\xe9", b"three"]).cast(pyarrow.string(), safe=False)
    pyarrow.parquet.write_table(pyarrow.table({"prompt": texts}), tmp_path / "t.parquet")
    one, two, three = rows(tmp_path / "t.parquet")
    assert prompts([one, three]) == ["one", "three"]
    assert two == BadRow("t.parquet row 2", "it is not UTF-8 text (byte 0xe9); convert the file to UTF-8")


def test_bytes_that_are_no_text_are_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"prompt": "\xff\xfe"}\n{"prompt": "good"}\n')
    bad, good = rows(path)
    assert isinstance(bad, BadRow)
    assert isinstance(good, Row)


def test_a_parquet_row_that_python_cannot_hold_is_a_bad_row(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    times = pyarrow.array([0, 2**62], pyarrow.timestamp("us"))
    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["a", "b"], "at": times}), tmp_path / "t.parquet")
    one, two = rows(tmp_path / "t.parquet")
    assert isinstance(one, Row)
    assert two == BadRow("t.parquet row 2", "it has a value that cannot be read (date value out of range)")


def test_a_parquet_file_with_two_columns_of_a_name_is_refused(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["prompt", "prompt"])
    pyarrow.parquet.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="two columns 'prompt'; rename one"):
        rows(tmp_path / "t.parquet")


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


@pytest.mark.slow
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
    with pytest.raises(InputError, match=r"unpack it: gunzip --keep tasks\.jsonl\.gz"):
        rows(tmp_path / "tasks.jsonl.gz")
    with pytest.raises(InputError, match=r"one object a line, for instance with: jq -c"):
        rows(tmp_path / "tasks.json")
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


RANKED = {"prompt": "q", "completions": [{"response": "a", "rank": 1}, {"response": "b", "rank": 2, "helpfulness": 3}]}
PARALLEL = {"prompt": "q", "completions": ["a", "b"], "ratings": [4, 2], "sizes": [1]}
COLUMNS = {"prompt": "q", "a": "one", "b": "two", "margin": 0.5}


@pytest.mark.parametrize(
    ("row", "answers", "said"),
    [
        (RANKED, "completions", "the fields helpfulness, rank, response.*such as `scores: helpfulness`; ranks"),
        (PARALLEL, "completions", "they are texts, beside the columns .*such as `scores: ratings`"),
        (COLUMNS, ["a", "b"], "the row has the columns prompt, a, b, margin"),
    ],
)
def test_scores_that_are_needed_and_not_there_are_missed_before_anything_is_done(
    tmp_path: Path, row: dict[str, object], answers: str | list[str], said: str
) -> None:
    path = write_tasks(tmp_path / "t.jsonl", [row | {"id": str(n)} for n in range(3)])
    source = TaskSource(path=path, answers=answers)
    assert len(list(read_tasks(source, seed=0))) == 3
    with pytest.raises(InputError, match=rf"none of the first 3 rows of .* has two \(t\.jsonl line 1: .*{said}"):
        list(read_tasks(source, seed=0, needs_scores=True))
    scored = {
        "id": "s",
        "prompt": "q",
        "completions": [{"response": "a", "overall_score": 1}, {"response": "b", "overall_score": 2}],
    }
    mixed = write_tasks(tmp_path / "m.jsonl", [RANKED | {"id": str(n)} for n in range(90)] + [scored])
    assert len(list(read_tasks(TaskSource(path=mixed, answers="completions"), seed=0, needs_scores=True))) == 91
