"""`clairgen evaluate pairwise`, `alpaca` and `judge` over scripted models: what is printed, written and refused."""

import asyncio
import json
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen.keys import seed_for
from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.judges import JUDGE, shown
from tests.scripted import Reply, ScriptedEndpoint, refused, said

COUNT = 40


def script(request: dict[str, Any]) -> Reply:
    """`ours` writes long answers to even questions and short ones to odd ones; the judge likes those to every third question."""
    prompt = request["messages"][-1]["content"]
    if request["model"] != JUDGE:
        number = int(prompt.split()[1])
        return said(f"{request['model']} on {number}" + " at length" * (1 + number % 5 if number % 2 == 0 else 0))
    number = int(prompt.split("Question ")[1].split()[0])
    if number == 7:
        return said("Hard to say.")
    wanted = "ours" if number % 3 else "theirs"
    return said(f"So it is. [{1 if wanted in shown(prompt)[0] else 2}]")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {n} ?", "dataset": "koala"}) + "\n" for n in range(COUNT)))
    return path


@pytest.fixture
def instructions(tmp_path: Path) -> Path:
    path = tmp_path / "reference.json"
    rows = [
        {
            "instruction": f"Question {n} ?",
            "output": f"theirs on {n} with words",
            "generator": "theirs",
            "dataset": "koala",
        }
        for n in range(COUNT)
    ]
    path.write_text(json.dumps(rows))
    return path


def config(tmp_path: Path, url: str, *roles: str) -> Path:
    models = {"target": "ours", "opponent": "theirs", "judge": JUDGE, "judge-2": "second-judge"}
    lines = [
        f"  {role}: {{model: {models[role]}, endpoints: ['{url}'], temperature: 0, max_tokens: 50, concurrency: 4}}"
        for role in roles
    ]
    path = tmp_path / "models.yaml"
    path.write_text("\n".join(["models:", *lines]) + "\n")
    return path


async def test_a_model_against_another_prints_raw_and_controlled_figures(tmp_path: Path, prompts: Path) -> None:
    async with ScriptedEndpoint(script) as endpoint:
        models = config(tmp_path, endpoint.url, "target", "opponent", "judge")
        run = tmp_path / "evals"
        estimated = await clairgen("evaluate", "pairwise", prompts, "--run", run, "--config", models, "--dry-run")
        assert not endpoint.asked
        done = await clairgen("evaluate", "pairwise", prompts, "--run", run, "--config", models)
        asked = len(endpoint.asked)
        again = await clairgen("evaluate", "pairwise", prompts, "--run", run, "--config", models, "--json")
        assert len(endpoint.asked) == asked == 4 * COUNT
    assert estimated.code == done.code == again.code == 0
    assert "40 comparisons, 0 done already" in estimated.out
    assert "ours: pairwise on prompts.jsonl" in done.out
    assert "Judged by judge-model, shown both orders, against theirs" in done.out
    assert "Not counted: 1 unreadable: no-verdict" in done.out
    assert "Won: 25, lost: 14, tied: none" in done.out
    assert "ength-controlled win rate: " in done.out
    assert "First position chosen: 50.0%" in done.out
    content = json.loads(again.out)
    assert content["verdicts"] == {"ok": 78, "no-verdict": 2}
    assert content["overall"]["n"] == content["length_controlled"]["n"] == 39
    assert content["judge"]["model"] == JUDGE


async def test_recorded_answers_need_no_model_but_the_judge(tmp_path: Path, prompts: Path, instructions: Path) -> None:
    ours = tmp_path / "ours.jsonl"
    ours.write_text(
        "".join(json.dumps({"prompt": f"Question {n} ?", "output": f"ours on {n}"}) + "\n" for n in range(COUNT))
    )
    async with ScriptedEndpoint(script) as endpoint:
        done = await clairgen(
            *(
                "evaluate",
                "pairwise",
                prompts,
                "--run",
                tmp_path / "evals",
                "--answers",
                ours,
                "--opponent",
                instructions,
            ),
            *("--judge-endpoint", endpoint.url, "--judge-model", JUDGE),
        )
        assert {request["model"] for request in endpoint.asked} == {JUDGE}
        assert len(endpoint.asked) == 2 * COUNT
    assert done.code == 0
    assert "No length-controlled win rate: only 0 of 39 prompts have an answer of the model that is as long" in done.out


async def test_alpaca_writes_the_answers_in_the_official_form(tmp_path: Path, instructions: Path) -> None:
    async with ScriptedEndpoint(script) as endpoint:
        models = config(tmp_path, endpoint.url, "target", "judge")
        done = await clairgen(
            *(
                "evaluate",
                "alpaca",
                instructions,
                "--run",
                tmp_path / "evals",
                "--config",
                models,
                "--label",
                "org/ours",
            )
        )
    assert done.code == 0
    outputs = json.loads((tmp_path / "evals" / "org-ours" / "model_outputs.json").read_text())
    assert len(outputs) == COUNT
    assert outputs[1] == {
        "dataset": "koala",
        "instruction": "Question 1 ?",
        "output": "ours on 1",
        "generator": "org/ours",
    }
    assert "model_outputs.json has the answers to 40 of 40 instructions" in done.out


async def test_alpaca_keeps_answers_that_could_not_be_judged(tmp_path: Path, instructions: Path) -> None:
    def without_judge(request: dict[str, Any]) -> Reply:
        return (
            refused(400, "content policy", "content_policy_violation") if request["model"] == JUDGE else script(request)
        )

    async with ScriptedEndpoint(without_judge) as endpoint:
        models = config(tmp_path, endpoint.url, "target", "judge")
        outputs = tmp_path / "out.json"
        done = await clairgen(
            *("evaluate", "alpaca", instructions, "--run", tmp_path / "evals", "--config", models, "--limit", "3"),
            *("--outputs", outputs),
        )
    assert done.code != 0
    assert "Not counted: 3 failed: " in done.out
    assert len(json.loads(outputs.read_text())) == 3


async def test_a_judge_is_measured_and_two_judges_stand_in_one_table_as_what_is_measured(tmp_path: Path) -> None:
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text(
        "".join(
            json.dumps(
                {"question": f"Question {n} ?", "response_A": f"ours {n}", "response_B": f"theirs {n}", "label": label}
            )
            + "\n"
            for n, label in enumerate(["A>B"] * 20 + ["A=B"])
        )
    )
    async with ScriptedEndpoint(script) as endpoint:
        run = tmp_path / "evals"
        done = await clairgen(
            *("evaluate", "judge", labelled, "--run", run, "--judge-endpoint", endpoint.url, "--judge-model", JUDGE)
        )
        endpoint.script = lambda _: said("[1]")
        models = config(tmp_path, endpoint.url, "judge", "judge-2")
        second = await clairgen("evaluate", "judge", labelled, "--run", run, "--config", models, "--judge", "judge-2")
    assert done.code == second.code == 0
    assert "judge-model: judge on labelled.jsonl" in done.out
    assert "Rows of the file without a labelled pair: 1 tied" in done.out
    assert "Right where the better answer is longer: none (n 0); where it is shorter: 63.2%" in done.out
    assert "so the judge leans to the first position" in second.out
    assert "The order decided: 100.0% " in second.out
    page = tmp_path / "page.html"
    table = await clairgen("evaluate", "show", run, "--html", page)
    html = page.read_text()
    assert "1 tied: tie-between-orders" not in html
    assert "20 tied: tie-between-orders" in html
    assert "<li>Judge judge-model, shown both orders" in html
    assert "Shown the better one first (ok):" in html
    assert table.out.count("judge on labelled.jsonl") == 1
    compared = await clairgen("evaluate", "compare", run, JUDGE, "second-judge")
    assert compared.code == 0


@pytest.mark.process
async def test_nothing_judged_is_judged_again_after_a_kill(tmp_path: Path, prompts: Path, instructions: Path) -> None:
    run, half = tmp_path / "evals", asyncio.Event()
    ours = tmp_path / "ours.json"
    ours.write_text(instructions.read_text().replace("theirs on", "ours on"))  # noqa: ASYNC240
    async with ScriptedEndpoint(lambda request: replace(script(request), delay_seconds=0.05)) as endpoint:
        endpoint.on_sent = lambda _: half.set() if len(endpoint.answered) >= COUNT // 2 else None
        words = (
            *("evaluate", "pairwise", prompts, "--run", run, "--answers", ours, "--opponent", instructions),
            *("--config", config(tmp_path, endpoint.url, "judge")),
        )
        async with forked(*words) as running:
            await half.wait()
            running.send_signal(signal.SIGKILL)
            await running.wait()
        await endpoint.clients_gone()
        with closing(sqlite3.connect(run / "run.db")) as database:
            judged = {seed_for(0, key) for (key,) in database.execute("SELECT key FROM completions")}
        before = len(endpoint.asked)
        done = await clairgen(*words)
        again = [request["seed"] for request in endpoint.asked[before:]]
    assert done.code == 0
    assert judged
    assert judged.isdisjoint(again)
    assert len(judged) + len(again) == 2 * COUNT


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--judge-endpoint", "http://localhost:1/v1", "--judge-model", "j"], "name what is evaluated: --answers FILE"),
        (["--answers", "ANSWERS"], "name a judge: --config FILE with models.judge"),
        (
            ["--answers", "ANSWERS", "--judge-model", "j"],
            "--judge-model and --judge-api-key-env go with --judge-endpoint",
        ),
        (
            ["--answers", "ANSWERS", "--judge-endpoint", "http://localhost:1/v1", "--judge-model", "j"],
            "name what the answers are compared with: --opponent FILE",
        ),
        (
            [
                "--answers",
                "ANSWERS",
                "--endpoint",
                "http://localhost:1/v1",
                "--judge-endpoint",
                "http://localhost:1/v1",
            ],
            "the server at http://localhost:1/v1 may have several models",
        ),
        (["--config", "CONFIG", "--judge", "judge-3"], "the configuration has no 'judge-3'; its judges: judge"),
    ],
)
async def test_what_is_missing_is_said_in_one_sentence(
    tmp_path: Path, prompts: Path, instructions: Path, arguments: list[str], sentence: str
) -> None:
    files = {"ANSWERS": str(instructions), "CONFIG": str(config(tmp_path, "http://localhost:1/v1", "target", "judge"))}
    words = [files.get(one, one) for one in arguments]
    done = await clairgen("evaluate", "pairwise", prompts, "--run", tmp_path / "evals", *words)
    assert done.code == 2
    assert sentence in " ".join(done.err.split())
    assert not (tmp_path / "evals").exists()
