"""`clairgen iterate` over the classroom's student, which is asked, trained, served and asked again; a scripted model revises."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest

from clairgen import data as clairgen_data
from clairgen.data.classroom.questions import draw
from clairgen.iteration.lineage import Lineage, Verdict, read_lineage
from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.scripted import Reply, ScriptedEndpoint, said

TASKS, QUESTIONS = 8, 6
IN_FLIGHT = 2
BUDGET_USD, PRICE = 1.0, {"input": 0, "output": 1000}
MOST_SECONDS = 300
"""Until a moment comes at which a process is killed."""


def revised(request: dict[str, Any]) -> Reply:
    """The student's answer with words of praise; of a slow reviser, so that there is time to kill who asks it."""
    prompt = request["messages"][-1]["content"]
    student = prompt.split("{student_solution}: ")[1].split("\n\n-----")[0]
    reply = said(f"{{teacher_reasoning}}: fine\n\n{{corrected_student_solution}}: {student} Well done.")
    return Reply(reply.body, headers=reply.headers, delay_seconds=0.05)


def inputs(folder: Path, url: str) -> list[str]:
    """The arguments of the command over a configuration, tasks and questions in `folder`."""
    tasks = [json.dumps({"prompt": question.prompt}) for question in draw(TASKS, "train", seed=0)]
    questions = [{"prompt": question.prompt, "rule": "classroom"} for question in draw(QUESTIONS, "test", seed=0)]
    (folder / "tasks.jsonl").write_text("\n".join(tasks))
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    asked = {"temperature": 0.7, "max_tokens": 64, "concurrency": IN_FLIGHT}
    content = {
        "recipes": ["clair"],
        "tasks": {"path": "tasks.jsonl"},
        "models": {
            "target": {"model": "classroom-student", "endpoints": ["classroom:student"], **asked},
            "reviser": {"model": "reviser", "endpoints": [url], **asked, "price_per_million": PRICE},
        },
        "budget_usd": BUDGET_USD,
    }
    (folder / "config.yaml").write_text(json.dumps(content))
    training = ["epochs=1", "batch_size=2", "device_batch_size=2", "checkpoints=1", "held_out_pairs=0"]
    training += [f"reference_cache={folder / 'references'}"]
    return [
        *("iterate", str(folder / "config.yaml"), "--out", str(folder / "rounds"), "--rounds", "2", "--no-stop"),
        *("--questions", str(folder / "questions.jsonl"), "--training", "classroom"),
        *(part for setting in training for part in ("--set", setting)),
    ]


def answers(run: Path) -> Counter[str]:
    """The answers that a run directory has, by role."""
    with closing(connect(run / "run.db")) as database:
        return Counter(dict(database.execute("SELECT role, count(*) FROM completions GROUP BY role")))


def limit_usd(run: Path) -> float:
    """The budget that a run directory has."""
    with closing(connect(run / "run.db")) as database:
        [(value,)] = database.execute("SELECT value FROM meta WHERE key = 'budget'")
    return float(json.loads(value)["limit_usd"])


def check_whole(folder: Path, endpoint: ScriptedEndpoint) -> Lineage:
    """The rounds are complete, and rest on as many answers as they need."""
    lineage = read_lineage(folder / "rounds")
    assert lineage is not None
    assert len(lineage.models) == 3
    assert all(each.verdict in (Verdict.BETTER, Verdict.NO_GAIN, Verdict.WORSE) for each in lineage.rounds)
    for each in lineage.rounds:
        assert each.pairs is not None
        assert (each.pairs.made, each.pairs.kept, each.pairs.failed) == (TASKS, TASKS, 0)
        assert answers(Path(each.pairs.run)) == {"target": TASKS, "reviser": TASKS}
        assert each.pairs.asked["target"] == TASKS
        assert each.pairs.asked["reviser"] + each.pairs.reused["reviser"] == TASKS
        assert each.model is not None
        assert (Path(each.model.weights) / "result.json").is_file()
    assert answers(folder / "rounds" / "evaluation") == {"target": 3 * QUESTIONS}
    assert {score.n for model in lineage.models if (score := model.score) is not None} == {QUESTIONS}
    for prompt, times in endpoint.prompts().items():
        assert times <= TASKS, prompt
    return lineage


async def test_rounds_ask_only_what_went_stale_and_a_second_command_asks_nothing(tmp_path: Path) -> None:
    async with ScriptedEndpoint(revised) as endpoint:
        command = inputs(tmp_path, endpoint.url)
        dry = await clairgen(*command, "--dry-run")
        assert dry.code == 0, dry.err
        assert not (tmp_path / "rounds").exists()
        assert "2 rounds to make. Requests:" in dry.out
        assert "Evaluation: 1 answer to each of 6 held-out prompts, of 3 models." in dry.out
        done = await clairgen(*command, environment={"COLUMNS": "80"})
        assert done.code == 0, done.err
        assert all(len(line) <= 80 for line in done.out.splitlines()[:4])
        assert done.out.splitlines()[0].split() == [
            "round",
            "pairs",
            "kept",
            "right,",
            "%",
            "gain,",
            "points",
            "verdict",
        ]
        lineage = check_whole(tmp_path, endpoint)
        asked = Counter(request["messages"][-1]["content"] for request in endpoint.asked)
        assert set(asked.values()) == {1}  # an answer that the trained student gives again is not revised again
        first, second = (each.pairs for each in lineage.rounds)
        assert first is not None
        assert second is not None
        assert len(asked) == first.asked["reviser"] + second.asked["reviser"]
        # an answer of the reviser has 5 tokens; what round 1 spent is taken from what round 2 may
        assert limit_usd(Path(first.run)) == BUDGET_USD
        assert limit_usd(Path(second.run)) == pytest.approx(BUDGET_USD - first.asked["reviser"] * 5 * 1000 / 1e6)
        again = await clairgen(*command, "--json")
        assert (
            json.loads(again.out)["rounds"] == json.loads((tmp_path / "rounds" / "lineage.json").read_text())["rounds"]
        )
        assert len(endpoint.asked) == len(asked)
        assert (await clairgen("status", tmp_path / "rounds", environment={"COLUMNS": "80"})).out == done.out
        weights = str(Path(clairgen_data.__file__).parent / "classroom" / "weaker")
        other = await clairgen(*command, "--model", weights)
        assert (other.code, "were begun with model " in other.err) == (2, True)
        refused = await clairgen(*command, "--set", "epochs=2")
        assert (refused.code, refused.out) == (2, "")
        assert "were begun with training.epochs 1.0, and it is 2.0 now" in refused.err


@pytest.mark.process
@pytest.mark.timeout(1500)
async def test_rounds_that_are_killed_at_any_step_go_on_and_nothing_is_done_twice(tmp_path: Path) -> None:
    rounds = tmp_path / "rounds"
    first, second = rounds / "round-1", rounds / "round-2"
    async with ScriptedEndpoint(revised) as endpoint:
        command = inputs(tmp_path, endpoint.url)
        moments: Sequence[Callable[[], bool]] = [
            lambda: len(endpoint.answered) >= TASKS // 2,
            lambda: (first / "dataset").is_dir(),
            lambda: (first / "training" / "checkpoint-2" / "trainer_state.json").is_file(),
            lambda: (first / "unchecked.gguf").is_file() or (first / "model.gguf").is_file(),
            lambda: (second / "run" / "run.db").is_file(),
        ]
        records = []
        for moment in moments:
            async with forked(*command):
                async with asyncio.timeout(MOST_SECONDS):
                    while not moment():  # noqa: ASYNC110 - a file tells nobody that it is there
                        await asyncio.sleep(0.002)
            records.append(read_lineage(rounds))
        async with forked(*command) as running:
            _, err = await running.communicate()
            assert await running.wait() == 0, err
        lineage = check_whole(tmp_path, endpoint)
        for before in filter(None, records):
            for then, now in zip(before.rounds, lineage.rounds, strict=False):
                assert then.pairs in (None, now.pairs)
                assert then.model is None or (now.model is not None and then.model.revision == now.model.revision)
        repeated = endpoint.prompts().total() - len(endpoint.prompts())
        assert repeated <= IN_FLIGHT * len(moments)
