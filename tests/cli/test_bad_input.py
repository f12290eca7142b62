"""Each mistake gets one sentence, the right exit code, and a run that can be continued."""

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import split_of
from tests.cli.commands import Done, clairgen, interpreter, pairs_in
from tests.runs import TARGET, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

NOWHERE = "http://127.0.0.1:9/v1"


def one_sentence(done: Done, code: int, *parts: str) -> None:
    assert "Traceback" not in done.err, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert done.code == code, done
    assert len(lines) == 1, done.err
    for part in parts:
        assert part in lines[0]


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


async def generated(folder: Path, url: str = NOWHERE, *flags: str, prompts: object = None, **changes: object) -> Done:
    tasks = folder / "tasks.jsonl"
    if prompts is not False and not tasks.exists():
        write_tasks(tasks, prompts or questions(3))  # type: ignore[arg-type]  # a list of prompts
    config = written(folder, config_text(url, tasks, **{"recipes": ["clair"], **changes}))
    return await clairgen("generate", config, "--run", folder / "run", *flags)


async def test_missing_configuration(tmp_path: Path) -> None:
    done = await clairgen("generate", tmp_path / "no.yaml", "--run", tmp_path / "run")
    one_sentence(done, 2, "there is no configuration file", "no.yaml", "check the path")


async def test_broken_yaml(tmp_path: Path) -> None:
    done = await clairgen("generate", written(tmp_path, "recipes: [clair"), "--run", tmp_path / "run")
    one_sentence(done, 2, "config.yaml line", "not valid YAML")


async def test_unknown_key_recipe_and_role(tmp_path: Path) -> None:
    one_sentence(await generated(tmp_path, seeds=1), 2, "unknown key 'seeds'; did you mean 'seed'?")
    one_sentence(await generated(tmp_path, recipes=["claire"]), 2, "there is no recipe 'claire'; did you mean 'clair'?")
    one_sentence(await generated(tmp_path, models={}), 2, "the recipe 'clair' needs a 'target'", "add models.target")
    assert not (tmp_path / "run").exists()


async def test_missing_tasks_and_missing_column(tmp_path: Path) -> None:
    one_sentence(await generated(tmp_path, prompts=False), 2, "there is no file of tasks", "tasks.jsonl")
    (tmp_path / "tasks.jsonl").write_text('{"text": "x"}\n')
    one_sentence(await generated(tmp_path), 2, "has no column 'prompt' or 'messages'; it has text")
    (tmp_path / "tasks.jsonl").write_text("\n")
    one_sentence(await generated(tmp_path), 2, "has no tasks")


async def test_broken_line_is_numbered_and_skipped_on_the_users_word(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text('{"prompt": "one"}\n{"prompt": "tw\n{"prompt": "three"}\n')
    async with ScriptedEndpoint(played) as endpoint:
        one_sentence(
            await generated(tmp_path, endpoint.url), 2, "tasks.jsonl line 2", "not valid JSON", "--skip-bad-lines"
        )
        assert endpoint.asked == []
        done = await generated(tmp_path, endpoint.url, "--skip-bad-lines")
    assert done.code == 0, done
    assert "1 row without a task: skipped, the first at tasks.jsonl line 2" in done.out
    assert pairs_in(done.out, "clair")["made"] == 2


async def test_a_fixed_line_continues_the_same_run(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text('{"prompt": "one"}\n{"prompt": "tw\n')
    async with ScriptedEndpoint(played) as endpoint:
        assert (await generated(tmp_path, endpoint.url)).code == 2
        (tmp_path / "tasks.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
        done = await generated(tmp_path, endpoint.url)
    assert done.code == 0, done
    assert pairs_in(done.out, "clair")["made"] == 2


async def test_two_prompts_under_one_id(tmp_path: Path) -> None:
    done = await generated(tmp_path, prompts=[{"id": "a", "prompt": "one"}, {"id": "a", "prompt": "two"}])
    one_sentence(done, 2, "tasks.jsonl line 2", "its id 'a' already belongs to another prompt")


async def test_two_prompts_under_one_id_are_found_however_far_apart(tmp_path: Path) -> None:
    """Row 2 repeats row 1 under another id, which the run does not keep and must remember all the same."""
    rows: list[object] = [{"id": f"t{number}", "prompt": f"Question {number}"} for number in range(4100)]
    rows[1] = {"id": "a", "prompt": "Question 0"}
    rows[4050] = {"id": "a", "prompt": "another"}
    done = await generated(tmp_path, prompts=rows)
    one_sentence(done, 2, "tasks.jsonl line 4051", "its id 'a' already belongs to another prompt")
    done = await generated(tmp_path)  # goes on after the rows that are read already
    one_sentence(done, 2, "tasks.jsonl line 4051", "its id 'a' already belongs to another prompt")


async def test_a_pipe_as_tasks_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tasks.jsonl")
    one_sentence(await generated(tmp_path), 2, "tasks.jsonl", "it is a pipe or a device")
    one_sentence(await generated(tmp_path, NOWHERE, "--dry-run"), 2, "tasks.jsonl", "it is a pipe or a device")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b'prompt,more\n"one,1\ntwo,2\n', ["begins at line 2", "check its quotes"]),
        ("prompt\none\n".encode("utf-16"), ["is UTF-16 text", "iconv -f UTF-16 -t UTF-8"]),
    ],
)
async def test_a_csv_that_cannot_be_trusted(tmp_path: Path, content: bytes, parts: list[str]) -> None:
    (tmp_path / "tasks.csv").write_bytes(content)
    config = written(tmp_path, config_text(NOWHERE, tmp_path / "tasks.csv", recipes=["clair"]))
    for flags in ((), ("--dry-run",), ("--skip-bad-lines",)):
        done = await clairgen("generate", config, "--run", tmp_path / "run", *flags)
        one_sentence(done, 2, "tasks.csv", *parts)


async def test_prompts_in_forms_that_would_lose_something(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]}
    user = {"role": "user", "content": "So?"}
    async with ScriptedEndpoint(played) as endpoint:
        done = await generated(tmp_path, endpoint.url, prompts=[{"messages": [user, call, user]}])
        one_sentence(done, 2, "tasks.jsonl line 1", "`tool_calls`; tool calls are not supported yet")
        write_tasks(tmp_path / "tasks.jsonl", [{"prompt": "So?", "messages": [user, call]}])
        one_sentence(await generated(tmp_path, endpoint.url), 2, "both `prompt` and `messages`", "`column: prompt`")
        assert endpoint.asked == []


async def test_prompts_that_cannot_be_sent_fail_alone(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        done = await generated(tmp_path, endpoint.url, prompts=["good", "", " ", "nul\0", "half \ud83d"])
    assert done.code == 1
    assert pairs_in(done.out, "clair") == {"made": 1, "kept": 1, "dropped": 0, "failed": 4, "to be made": 0}
    assert "blank-prompt" in done.out
    assert "nul-in-prompt" in done.out
    assert "surrogate-in-prompt" in done.out
    assert "4 failed tasks would fail again unless something changes (2 blank-prompt: correct these rows" in done.out
    assert "then add --retry-failed." in done.out


async def test_key_variable_that_is_not_set(tmp_path: Path) -> None:
    done = await generated(tmp_path, reviser={"api_key_env": "NO_SUCH_KEY"})
    one_sentence(done, 2, "NO_SUCH_KEY", "models.reviser.api_key_env", "is not set; export it")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        (refused(401, "Incorrect API key"), ["HTTP 401", "check the API key"]),
        (refused(404, "The model does not exist"), ["HTTP 404", "check the model's name"]),
        (refused(429, "no credit", "insufficient_quota"), ["no credit", "add some"]),
    ],
)
async def test_endpoint_that_refuses_everybody(tmp_path: Path, reply: Reply, parts: list[str]) -> None:
    async with ScriptedEndpoint(lambda _: reply) as endpoint:
        done = await generated(tmp_path, endpoint.url)
        one_sentence(done, 3, "no endpoint of the role 'target' can be used", *parts)
        assert "Continue with: clairgen generate" in done.out
        endpoint.script = played
        assert (await generated(tmp_path, endpoint.url)).code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"<html>Welcome to nginx</html>", headers={"content-type": "text/html"}), "not-json"),
        (Reply(b'{"choices": [{"mes'), "not-json"),
        (Reply(b'{"choices": []}'), "no-choices"),
        (said(None), "empty-answer"),
        (said(""), "empty-answer"),
        (said("", finish_reason="content_filter"), "content-filter"),
        (refused(400, "context length exceeded"), "context-overflow"),
    ],
)
async def test_answer_that_is_none_fails_its_task_and_can_be_had_later(
    tmp_path: Path, reply: Reply, reason: str
) -> None:
    async with ScriptedEndpoint(lambda request: reply if request["model"] == TARGET else played(request)) as endpoint:
        done = await generated(tmp_path, endpoint.url)
        assert done.code == 1, done
        assert f"3 of clair failed: {reason}: " in done.out
        endpoint.script = played
        done = await generated(tmp_path, endpoint.url, "--retry-failed")
    assert done.code == 0
    assert pairs_in(done.out, "clair") == {"made": 3, "kept": 3, "dropped": 0, "failed": 0, "to be made": 0}


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "darwin", reason="ulimit -f counts other blocks")
async def test_full_disk(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(300))
    async with ScriptedEndpoint(played) as endpoint:
        config = written(tmp_path, config_text(endpoint.url, tasks, recipes=["clair"]))
        arguments = ("generate", config, "--run", tmp_path / "run")
        done = await interpreter(*arguments, shell_prefix="ulimit -f 400")  # blocks of 512 bytes
        one_sentence(done, 2, "the disk that holds", "free some space and run the same command again")
        answered = len(endpoint.answered)
        done = await clairgen(*arguments)
        assert done.code == 0, done
    assert pairs_in(done.out, "clair")["made"] == 300
    assert answered < 600


async def test_run_directories_that_are_none(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    config = written(tmp_path, config_text(NOWHERE, tasks))
    one_sentence(await clairgen("generate", config, "--run", tasks), 2, "is a file; name a folder")
    one_sentence(await clairgen("generate", config, "--run", tmp_path), 2, "is not a run directory and not empty")
    one_sentence(await clairgen("generate", config, "--run", "/proc/clairgen"), 2, "/proc/clairgen", "cannot be used")
    for command in (["status"], ["show"], ["report"], ["filter"], ["reparse"], ["migrate"], ["advise"]):
        one_sentence(
            await clairgen(*command, tmp_path / "absent"), 2, "is not a run directory: there is no such file or folder"
        )
    (tmp_path / "empty").mkdir()
    one_sentence(await clairgen("status", tmp_path / "empty"), 2, "is not a run directory: it has no run.db")
    one_sentence(await clairgen("export", tmp_path / "absent", tmp_path / "out"), 2, "is not a run directory")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.db").write_bytes(b"no database at all" * 100)
    one_sentence(await clairgen("status", tmp_path / "broken"), 2, "is not a database of a run, or is damaged")
    one_sentence(await clairgen("generate", config, "--run", tmp_path / "broken"), 2, "is not a database of a run")


async def test_run_of_a_newer_version(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        assert (await generated(tmp_path, endpoint.url)).code == 0
        with sqlite3.connect(tmp_path / "run" / "run.db") as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        one_sentence(await generated(tmp_path, endpoint.url), 2, "was written by a newer clairgen (schema 99")
    one_sentence(await clairgen("report", tmp_path / "run"), 2, "was written by a newer clairgen")


@pytest.mark.slow
async def test_bad_flags(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        assert (await generated(tmp_path, endpoint.url)).code == 0
    run = tmp_path / "run"
    one_sentence(await clairgen("filter", run, "--length-ratio", "2"), 2, "--length-ratio takes LOW:HIGH")
    one_sentence(await clairgen("filter", run, "--length-ratio", "2:1"), 2, "length_ratio")
    one_sentence(await clairgen("filter", run, "--mark", "lenght"), 2, "there is no filter 'lenght'")
    one_sentence(await clairgen("report", run, "--tokenizer", "bpe"), 2, "there is no tokenizer 'bpe'; choose one of")
    both = await clairgen("report", run, "--tokeniser", "word", "--tokenizer", "word")
    one_sentence(both, 2, "--tokeniser is the old name of --tokenizer, which is given too")
    one_sentence(await clairgen("show", run, "--pair", "zz"), 2, "has no pair of 'zz'")
    one_sentence(
        await clairgen("export", run, tmp_path / "out", "--recipe", "judge"), 2, "has no recipe 'judge'; it has clair"
    )
    one_sentence(await clairgen("export", run, tmp_path), 2, "not empty")
    done = await clairgen("export", run, tmp_path / "out", "--push-to-hub", "me/pairs", environment={"HF_TOKEN": ""})
    one_sentence(done, 2, "HF_TOKEN")
    assert (await clairgen("generate")).code == 2
    assert (await clairgen("nonsense")).code == 2


@pytest.mark.slow
async def test_damaged_database(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        assert (await generated(tmp_path, endpoint.url, prompts=questions(200))).code == 0
        database = tmp_path / "run" / "run.db"
        content = bytearray(database.read_bytes())
        content[8192:] = b"\xff" * (len(content) - 8192)
        database.write_bytes(bytes(content))
        one_sentence(await generated(tmp_path, endpoint.url), 2, "damaged")
    for command in ("status", "report", "show"):
        one_sentence(await clairgen(command, tmp_path / "run"), 2, "damaged")


@pytest.mark.slow
async def test_the_demo_asks_no_question_that_models_are_tested_on(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    done = await clairgen("demo", tmp_path / "demo", "--questions", "14", "--no-train")
    assert done.code in (0, 1), done
    rows = [json.loads(line) for line in (tmp_path / "demo" / "questions.jsonl").read_text().splitlines()]
    shipped = (Path(__file__).parents[2] / "data" / "examples" / "classroom.jsonl").read_text(encoding="utf-8")
    rows += [json.loads(line) for line in shipped.splitlines()]
    assert len(rows) == 114
    for row in rows:
        [split] = {split_of(kind, found) for kind in KINDS if (found := kind.fields(row["prompt"])) is not None}
        assert split == "train", row


async def test_demo_writes_over_nothing_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("precious: true")
    one_sentence(await clairgen("demo", tmp_path), 2, "holds something that is not a demo")
    assert (tmp_path / "config.yaml").read_text() == "precious: true"
