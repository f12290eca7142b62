"""Mistakes in the arguments of `clairgen iterate`: one sentence each, before anything is asked or written."""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.cli.commands import Done, clairgen
from tests.runs import config_text, write_tasks

URL = "http://127.0.0.1:9/v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration, questions and prompts."""
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["One?", "Two?"])
    (tmp_path / "config.yaml").write_text(config_text(URL, tasks))
    write_tasks(tmp_path / "questions.jsonl", [{"prompt": "Three?", "answer": "3", "rule": "exact"}])
    write_tasks(tmp_path / "prompts.jsonl", ["Three?"])
    return tmp_path


async def iterated(folder: Path, *more: str, model: bool = True) -> Done:
    done = await clairgen(
        *("iterate", folder / "config.yaml", "--out", folder / "rounds"),
        *(("--model", str(folder)) if model else ()),
        *more,
    )
    assert not (folder / "rounds").exists()
    return done


@pytest.mark.train
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "the configuration has the recipes clair, stronger-preferred; name the one to train on with --recipe"),
        (["--recipe", "clair"], "nothing says whether a round gained; give held-out questions with right answers"),
        (
            ["--recipe", "clair", "--questions", "questions.jsonl", "--prompts", "prompts.jsonl"],
            "--questions and --prompts both say how a round's gain is measured; give one of them",
        ),
        (
            ["--recipe", "clair", "--prompts", "prompts.jsonl"],
            "--prompts needs a judge, which the configuration does not",
        ),
        (
            ["--recipe", "clair", "--no-stop", "--set", "subset=x"],
            "--set subset: the rounds decide that; give --recipe",
        ),
        (["--recipe", "clair", "--no-stop", "--set", "epoch=1"], "unknown key 'epoch'; did you mean 'epochs'?"),
        (["--recipe", "clair", "--no-stop", "--objective", "sft", "--reference", "first"], "sft has no reference"),
        (
            ["--recipe", "stronger-preferred", "--no-stop", "--set", "keep_identical=true", "--set", "chosen_nll=1"],
            "keep_identical keeps what a reviser confirmed, and the recipe stronger-preferred has none; leave it out",
        ),
        (
            ["--recipe", "clair", "--no-stop", "--serve", "vllm serve {model}"],
            "--serve does not say where the port goes",
        ),
    ],
)
async def test_a_mistake_is_one_sentence_and_nothing_is_written(folder: Path, options: list[str], said: str) -> None:
    given = [str(folder / option) if option.endswith(".jsonl") else option for option in options]
    done = await iterated(folder, *given)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1


async def test_a_target_whose_weights_are_elsewhere_needs_them_named(folder: Path) -> None:
    done = await iterated(folder, "--recipe", "clair", "--no-stop", model=False)
    assert done.code == 2
    assert "the weights of models.target (target-model) are not beside a model file on this machine" in done.err


@pytest.mark.parametrize(("module", "extra"), [("trl", "train"), ("xllamacpp", "local")])
async def test_packages_that_are_missing_are_named_before_anything_is_asked(
    folder: Path, module: str, extra: str
) -> None:
    hidden: dict[str, None] = {module: None}
    if extra == "local":
        pytest.importorskip("trl")
    with patch.dict(sys.modules, hidden):
        done = await iterated(folder, "--recipe", "clair", "--no-stop")
    assert (done.code, done.out) == (2, "")
    assert f"install them with: pip install 'clairgen[{extra}]'" in done.err


@pytest.mark.train
async def test_a_folder_that_holds_something_else_is_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "notes.txt").touch()
    done = await clairgen(
        *("iterate", folder / "config.yaml", "--out", folder / "other", "--recipe", "clair", "--no-stop"),
        *("--model", folder),
    )
    assert done.code == 2
    assert "holds something that is not a record of rounds (notes.txt); name a new folder with --out" in done.err


@pytest.mark.train
async def test_the_dry_run_tells_what_is_asked_once_and_what_a_round_can_cost(folder: Path) -> None:
    content = json.loads((folder / "config.yaml").read_text())
    content["models"]["stronger"]["price_per_million"] = {"input": 0, "output": 100}
    content["models"]["target"]["price_per_million"] = {"input": 0, "output": 1000}
    (folder / "config.yaml").write_text(json.dumps(content))
    done = await iterated(folder, "--recipe", "stronger-preferred", "--no-stop", "--rounds", "4", "--dry-run")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert ["target", "target-model", "2", "2", "8"] in lines
    assert ["stronger", "stronger-model", "2", "0", "2"] in lines  # its answers are the same in every round
    # 2 answers of at most 100 tokens each: of the target in round 1 alone, since the trained ones are served here
    assert "Expected, if nothing of later rounds is reused: $0.2200; at most $0.2200" in done.out
    assert "Training: 4 runs, on this machine." in done.out
