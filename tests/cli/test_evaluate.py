"""`clairgen evaluate`: questions from files, tables, what is refused, and two processes of which one is killed."""

import asyncio
import json
import random
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clairgen.keys import seed_for
from tests.cli.commands import Done, clairgen
from tests.cli.forked import forked
from tests.runs import write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

HOSTILE = "\x1b[31m<script>alert(1)</script>\u202e"


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"What is {n} + 1?", "reference": n + 1, "kind": "odd" if n % 2 else "even", "id": f"q{n}"}
        for n in range(count)
    ]


def adds(request: dict[str, Any]) -> Reply:
    """The model `large` is right, any other one only for numbers below 6."""
    number = int(request["messages"][-1]["content"].split()[2])
    return said(f"It is {number + 1 if number < 6 or request['model'] == 'large' else 0}.", tokens=(20, 5))


async def questions(file: Path, run: Path, url: str, *more: str | Path, model: str = "small") -> Done:
    options = ("--endpoint", url, "--model", model, "--rule", "numeric", *more)
    return await clairgen("evaluate", "questions", file, "--run", run, *options, environment={"COLUMNS": "80"})


async def test_questions_are_asked_scored_and_shown(tmp_path: Path) -> None:
    file, run = write_tasks(tmp_path / "sums.jsonl", rows(10)), tmp_path / "run"
    async with ScriptedEndpoint(adds) as endpoint:
        dry = await questions(file, run, endpoint.url, "--dry-run")
        assert (dry.code, endpoint.asked, run.exists()) == (0, [], False)
        assert "10 questions, 0 done already" in dry.out
        assert "Tokens are guessed" in dry.out
        done = await questions(file, run, endpoint.url, "--label", "before")
        assert done.code == 0, done
        assert {request["temperature"] for request in endpoint.asked} == {0}
        assert "before: questions on sums.jsonl. Intervals are 95%:" in done.out
        assert [line.split() for line in done.out.splitlines() if line.startswith(("even", "odd", "all"))] == [
            ["even", "5", "60.0%", "20.5-89.7"],
            ["odd", "5", "60.0%", "20.5-89.7"],
            ["all", "10", "60.0%", "30.0-84.0"],
        ]
        left = await questions(file, run, endpoint.url, "--dry-run")
        assert "10 questions, 10 done already" in left.out
        await questions(file, run, endpoint.url, "--label", "after", model="large")
        assert len(endpoint.asked) == 20
    shown = await clairgen("evaluate", "show", run, environment={"COLUMNS": "80"})
    assert [line.split()[:3] for line in shown.out.splitlines() if line.startswith(("before", "after"))] == [
        ["before", "10", "60.0%"],
        ["after", "10", "100.0%"],
    ]
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    [before, after] = json.loads((await clairgen("evaluate", "show", run, "--json")).out)
    assert (before["overall"]["mean"], after["parts"]["odd"]["n"], after["complete"]) == (0.6, 5, True)
    compared = await clairgen("evaluate", "compare", run, "before", "after", environment={"COLUMNS": "80"})
    assert "all   10       +40.0" in compared.out
    assert compared.out.count("wrong to right ──") == 2
    assert "What is 6 + 1?" in compared.out
    found = json.loads((await clairgen("evaluate", "compare", run, "before", "after", "--json")).out)
    assert [entry["item"] for entry in found["changed"]] == ["q6", "q7", "q8", "q9"]


async def test_a_configuration_of_a_run_serves(tmp_path: Path) -> None:
    file = write_tasks(tmp_path / "sums.jsonl", rows(3))
    config = tmp_path / "config.yaml"
    async with ScriptedEndpoint(adds) as endpoint:
        target = {"model": "large", "endpoints": [endpoint.url], "temperature": 0.5, "system": "Be brief."}
        config.write_text(
            json.dumps({"recipes": ["clair"], "tasks": {"path": "x.jsonl"}, "models": {"target": target}})
        )
        options = ("--config", config, "--rule", "numeric", "--samples", "2", "--json", "--max-tokens", "9")
        done = await clairgen("evaluate", "questions", file, "--run", tmp_path / "run", *options)
        assert done.code == 0, done
        assert {(request["max_tokens"], request["temperature"]) for request in endpoint.asked} == {(9, 0.5)}
        assert endpoint.asked[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    found = json.loads(done.out)
    assert (found["label"], found["items"], found["overall"]["n"], found["overall"]["clusters"]) == ("large", 6, 6, 3)


async def test_failed_requests_are_shown_and_tried_again_by_choice(tmp_path: Path) -> None:
    file, run = write_tasks(tmp_path / "sums.jsonl", rows(4)), tmp_path / "run"
    answers: list[Reply | None] = [refused(400, "not this", "content_policy_violation"), None]

    def script(request: dict[str, Any]) -> Reply:
        return (answers[0] if " 2 " in request["messages"][-1]["content"] else None) or adds(request)

    async with ScriptedEndpoint(script) as endpoint:
        done = await questions(file, run, endpoint.url)
        assert done.code == 1
        assert "Not counted: 1 failed: content-policy: " in done.out
        assert done.out.rstrip().endswith("--retry-failed")
        answers[0] = None
        seen = await clairgen("status", run)
        assert f"{run}: 1 evaluation\nsmall: questions on sums.jsonl, 4 of 4 items done, 1 failed\n" in seen.out
        assert f"Their results: clairgen evaluate show {run}" in seen.out
        assert "0 tasks" not in seen.out
        [one] = json.loads((await clairgen("status", run, "--json")).out)["evaluations"]
        assert (one["label"], one["items"], one["statuses"]) == ("small", 4, {"failed": 1, "scored": 3})
        again = await questions(file, run, endpoint.url, "--retry-failed")
        assert (again.code, len(endpoint.asked)) == (0, 5)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"prompt": "x"}, "sums.jsonl line 2: it has no `reference` or `answer` to check an answer against"),
        ({"prompt": "x", "reference": "y"}, "line 2: its reference 'y' holds no number"),
        (
            {"prompt": "x", "reference": 1, "rule": "python"},
            "there is no rule 'python'; its rule must be one of exact,",
        ),
        ({"prompt": "x", "reference": 1, "tolerance": "much"}, "its tolerance 'much' is not a number"),
        ({"prompt": 7, "reference": 1}, "line 2: its prompt is neither a text nor a list of messages"),
    ],
)
async def test_a_row_that_cannot_be_checked_is_refused_or_counted(
    tmp_path: Path, row: dict[str, Any], sentence: str
) -> None:
    file = write_tasks(tmp_path / "sums.jsonl", [*rows(1), row])
    async with ScriptedEndpoint(adds) as endpoint:
        done = await questions(file, tmp_path / "run", endpoint.url)
        assert (done.code, endpoint.asked) == (2, [])
        assert sentence in done.err
        assert "--skip-bad-lines" in done.err
        skipped = await questions(file, tmp_path / "run", endpoint.url, "--skip-bad-lines")
        assert (skipped.code, len(endpoint.asked)) == (0, 1)
        assert f"1 row left out, the first at sums.jsonl line 2: {sentence.split(': ')[-1][:30]}" in skipped.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name the model to evaluate with --config FILE, or with --endpoint URL and --model NAME"),
        (("--endpoint", "http://localhost:1/v1"), "may have several models; name one with --model"),
        (("--endpoint", "ftp://x", "--model", "m"), "'ftp://x' is not an endpoint"),
        (("--endpoint", "gguf:missing.gguf", "--rule", "numeric"), "There is no model file"),
        (
            ("--endpoint", "http://localhost:1/v1", "--model", "m", "--rule", "same"),
            "there is no rule 'same'; choose one",
        ),
        (
            ("--endpoint", "http://localhost:1/v1", "--model", "m", "--part-column", "x"),
            "has no column 'x', which --part-column",
        ),
        (
            ("--endpoint", "http://localhost:1/v1", "--model", "m"),
            "line 1: it names no rule; add a column `rule`, or give",
        ),
        (
            ("--endpoint", "http://localhost:1/v1", "--model", "m", "--rule", "numeric", "--samples", "2"),
            "at temperature 0 all answers to a question are the same",
        ),
    ],
)
async def test_what_cannot_be_evaluated_is_refused_in_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    file = write_tasks(tmp_path / "sums.jsonl", rows(1))
    done = await clairgen("evaluate", "questions", file, "--run", tmp_path / "run", *arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


async def test_files_that_hold_no_questions_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for file, sentence in (
        (tmp_path / "none.jsonl", "there is no file of questions"),
        (tmp_path / "q.txt", "questions are read from .jsonl, .csv, .parquet files"),
        (empty, "holds no question whose answers can be checked"),
    ):
        done = await questions(file, tmp_path / "run", "http://localhost:1/v1")
        assert done.code == 2
        assert sentence in done.err


async def test_csv_with_named_columns_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sums.csv"
    file.write_text('question,gold,topic\n"What is 3 + 1?",4,sums\n"What is 1009 + 1?","1,010",sums\n')
    async with ScriptedEndpoint(adds) as endpoint:
        named = ("--column", "question", "--reference-column", "gold", "--part-column", "topic", "--json")
        done = await questions(file, tmp_path / "run", endpoint.url, *named)
    assert done.code == 0, done
    assert json.loads(done.out)["parts"]["sums"]["n"] == 2


async def test_the_same_model_under_another_name_is_said_to_be_that(tmp_path: Path) -> None:
    file = write_tasks(tmp_path / "sums.jsonl", rows(3))
    async with ScriptedEndpoint(adds) as endpoint:
        await questions(file, tmp_path / "run", endpoint.url, "--label", "before")
        again = await questions(file, tmp_path / "run", endpoint.url, "--label", "after")
        assert "after is what was evaluated as before" in again.err
        assert len(endpoint.asked) == 3
        other = await questions(file, tmp_path / "run", endpoint.url, "--label", "later", "--revision", "2")
        assert (len(endpoint.asked), "was evaluated as" in other.err) == (6, False)


async def test_hostile_text_is_shown_as_text(tmp_path: Path) -> None:
    file = write_tasks(tmp_path / "q.jsonl", [{"prompt": f"{HOSTILE}?", "reference": HOSTILE, "kind": HOSTILE}])
    async with ScriptedEndpoint(
        lambda request: said(HOSTILE if request["model"] == "a" else f"no {HOSTILE}")
    ) as endpoint:
        for model in ("a", "b"):
            options = ("--rule", "exact", "--label", f"{model}{HOSTILE}")
            done = await questions(file, tmp_path / "run", endpoint.url, *options, model=model)
            assert done.code == 0, done
            assert "\x1b" not in done.out + done.err
    for arguments in (("show", tmp_path / "run"), ("compare", tmp_path / "run", f"a{HOSTILE}", f"b{HOSTILE}")):
        shown = await clairgen("evaluate", *arguments)
        assert shown.code == 0, shown
        assert "\x1b" not in shown.out and "\u202e" not in shown.out
        assert "\\x1b[31m<script>" in shown.out


def more_sent(endpoint: ScriptedEndpoint, count: int) -> asyncio.Event:
    """Set once so many more answers were sent."""
    event, enough = asyncio.Event(), len(endpoint.answered) + count
    endpoint.on_sent = lambda _request: event.set() if len(endpoint.answered) >= enough else None
    return event


@pytest.mark.process
async def test_a_killed_evaluation_goes_on_and_asks_nothing_again_that_was_answered(tmp_path: Path) -> None:
    count, kills = 60, 0
    file, run = write_tasks(tmp_path / "sums.jsonl", rows(count)), tmp_path / "run"

    def slowly(request: dict[str, Any]) -> Reply:
        return Reply(adds(request).body, delay_seconds=random.uniform(0.05, 0.15))

    def committed() -> set[int]:
        if not (run / "run.db").exists():
            return set()
        with closing(sqlite3.connect(run / "run.db")) as database:
            try:
                return {seed_for(0, row[0]) for row in database.execute("SELECT key FROM completions")}
            except sqlite3.OperationalError:
                return set()

    async with ScriptedEndpoint(slowly) as endpoint:
        config = tmp_path / "models.yaml"
        target = {"model": "small", "endpoints": [endpoint.url], "temperature": 0, "max_tokens": 9, "concurrency": 3}
        config.write_text(json.dumps({"models": {"target": target}}))
        command = ("evaluate", "questions", file, "--run", run, "--config", config, "--rule", "numeric")
        for _ in range(2):
            asked, before = len(endpoint.asked), committed()
            some = more_sent(endpoint, 12)
            async with forked(*command) as running:
                await some.wait()
                running.send_signal(signal.SIGKILL)
                kills += await running.wait() == -signal.SIGKILL
            assert before.isdisjoint(request["seed"] for request in endpoint.asked[asked:])
            assert before <= committed()
        asked, before = len(endpoint.asked), committed()
        assert 0 < len(before) < count
        done = await clairgen(*command, "--json")
        assert before.isdisjoint(request["seed"] for request in endpoint.asked[asked:])
        total = len(endpoint.asked)
        assert (await clairgen(*command, "--json")).out == done.out
        assert len(endpoint.asked) == total
    assert kills == 2
    assert total <= count + kills * 2 * 3
    found = json.loads(done.out)
    assert (found["complete"], found["overall"]["n"], found["overall"]["mean"]) == (True, count, 0.1)
    with closing(sqlite3.connect(run / "run.db")) as database:
        items = Counter(row[0] for row in database.execute("SELECT position FROM evaluation_items"))
        assert items == Counter(range(1, count + 1))
        assert database.execute("SELECT count(*) FROM completions").fetchone() == (count,)


async def test_a_dry_run_of_patterns_ends(tmp_path: Path) -> None:
    row = {"prompt": "What is 1 + 1?", "reference": "[0-9]", "rule": "regex"}
    file = write_tasks(tmp_path / "sums.jsonl", [row])
    async with ScriptedEndpoint(adds) as endpoint:
        dry = await questions(file, tmp_path / "run", endpoint.url, "--dry-run")
        assert (dry.code, endpoint.asked) == (0, [])
