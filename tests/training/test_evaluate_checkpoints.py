"""`clairgen evaluate questions --checkpoints`: each is converted, served and asked; what is done is not done again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from clairgen.data.classroom.questions import draw
from tests.cli.commands import Done, clairgen
from tests.runs import write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

pytestmark = pytest.mark.process
CLASSROOM = Path(__file__).parents[2] / "data" / "classroom"
OPTIONS = ("--rule", "classroom", "--max-tokens", "96")


def copied(model: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in (CLASSROOM / model).iterdir():
        if file.suffix != ".gguf":
            shutil.copy(file, folder)


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """Two checkpoints, an adapter, one that was cut off, and a final model that is one of the checkpoints."""
    out = tmp_path / "out"
    copied("weaker", out / "checkpoint-9")
    copied("teacher", out / "checkpoint-10")
    copied("teacher", out / "copy")
    for file in (out / "copy").iterdir():
        shutil.move(file, out)
    (out / "copy").rmdir()
    copied("teacher", out / "checkpoint-11")
    (out / "checkpoint-11" / "adapter_config.json").write_text("{}")
    copied("teacher", out / "checkpoint-8")
    (out / "checkpoint-8" / "model.safetensors").write_bytes(b"cut")
    return out


async def evaluated(training: Path, file: Path, *more: str) -> Done:
    return await clairgen(
        "evaluate", "questions", file, "--run", training.parent / "run", "--checkpoints", training, *OPTIONS, *more
    )


async def test_each_checkpoint_is_evaluated_once_and_one_that_cannot_be_is_left_out(
    tmp_path: Path, training: Path
) -> None:
    pytest.importorskip("xllamacpp")
    file = write_tasks(tmp_path / "questions.jsonl", [question.prompt for question in draw(8, "test", seed=0)])
    done = await evaluated(training, file, "--json")
    assert done.code == 1
    results: list[dict[str, Any]] = json.loads(done.out)
    assert [result["label"] for result in results] == ["out/checkpoint-9", "out/checkpoint-10"]
    right = [result["overall"]["mean"] for result in results]
    assert right[0] < right[1] == 1.0
    assert "The final model is out/checkpoint-10." in done.err
    assert "out/checkpoint-8 is left out: " in done.err
    assert "out/checkpoint-11 is left out: " in done.err and "is an adapter; merge it first" in done.err
    assert "is what was evaluated as" not in done.err
    assert not (tmp_path / "run" / "converted").exists()
    shutil.rmtree(training / "checkpoint-11")
    shutil.rmtree(training / "checkpoint-8")
    again = await evaluated(training, file)
    assert again.code == 0, again
    assert "out/checkpoint-9 is evaluated already" in again.err
    table = [line.split()[0] for line in again.out.splitlines() if line.startswith("out")]
    assert table == ["out/checkpoint-9", "out/checkpoint-10"]


async def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    file = write_tasks(tmp_path / "questions.jsonl", [draw(1, "test", seed=0)[0].prompt])
    (tmp_path / "empty").mkdir()
    for folder, sentence in (
        (tmp_path / "none", "is not a folder"),
        (tmp_path / "empty", "holds no checkpoint-N and no model"),
    ):
        done = await evaluated(folder, file)
        assert (done.code, done.out) == (2, "")
        assert sentence in done.err
    mixed = await evaluated(tmp_path / "empty", file, "--endpoint", "classroom:student")
    assert "leave --endpoint and --revision out" in mixed.err


async def test_the_best_checkpoint_on_mixeval_hard_is_shown_beside_the_bias_of_choosing_it(
    tmp_path: Path, training: Path
) -> None:
    """The judge is scripted; it finds the answers of the teacher right."""
    pytest.importorskip("xllamacpp")
    for name in ("checkpoint-8", "checkpoint-11"):
        shutil.rmtree(training / name)
    questions = draw(12, "test", seed=0)
    rows = {
        str(number): {
            "problem_type": "free-form",
            "context": None,
            "prompt": question.prompt,
            "target": [question.working.result],
            "benchmark_name": "sums",
        }
        for number, question in enumerate(questions)
    }
    file = tmp_path / "free-form.json"
    file.write_text(json.dumps(rows))

    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "free-form.txt").write_text("{{question}}")

    def judge(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        reference = prompt.partition("Reference answers:\n- ")[2].partition("\n")[0]
        answer = prompt.partition("Answer of the model: ")[2].partition("\n\nSay in")[0]
        return said(f"[[{1.0 if answer.rstrip('.').endswith(reference) else 0.0}]]")

    async with ScriptedEndpoint(judge) as endpoint:
        options: tuple[str, ...] = ("--judge-endpoint", endpoint.url, "--judge-model", "judge", "--max-tokens", "96")
        options += ("--templates", str(tmp_path / "templates"))
        command: tuple[str | Path, ...] = ("evaluate", "mixeval-hard", file, "--run", tmp_path / "run", *options)
        before = await clairgen(*command, "--endpoint", "classroom:weaker", "--label", "before")
        done = await clairgen(*command, "--checkpoints", training, "--base", "before")
        found = json.loads((await clairgen(*command, "--checkpoints", training, "--json")).out)

    assert before.code == 0, before
    assert done.code == 0, done
    assert "Over 2 checkpoints, change from before (" in done.out
    assert "(out/checkpoint-10), mean +" in done.out
    assert "Chosen on one half of the questions and scored on the other: +" in done.out
    assert found["best"]["label"] == "out/checkpoint-10"
    assert found["best"]["maximum"]["mean"] == 1.0
    assert [one["label"] for one in found["checkpoints"]] == ["out/checkpoint-9", "out/checkpoint-10"]
