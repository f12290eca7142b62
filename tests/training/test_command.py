"""`clairgen train`: data in the usual shapes, one sentence per mistake; the first run is a process of its own."""

import json
import re
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from clairgen import sync
from clairgen.cli import train as command
from clairgen.cli.train import print_data
from clairgen.errors import ConfigError, UserError
from clairgen.wording import counted
from clairgen_train.run import prepare
from tests.cli.commands import Done, clairgen, process
from tests.runs import REVISER, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint
from tests.training.small_run import pair, saved_model, settings, written

Command = Callable[..., Awaitable[Done]]
SMALL = ("--set", "batch_size=4", "--set", "precision=fp32", "--set", "held_out_pairs=2", "--epochs", "1")


async def train(
    folder: Path, data: Path | str, *more: str, model: Path | str | None = None, by: Command = clairgen
) -> Done:
    chosen = saved_model(folder / "model") if model is None else model
    cache = ("--set", f"reference_cache={folder / 'cache'}")
    return await by(
        "train", data, folder / "out", "--model", chosen, *SMALL, *cache, *more, environment={"OMP_NUM_THREADS": "1"}
    )


async def test_the_published_shape_is_converted_and_the_user_is_informed(tmp_path: Path) -> None:
    folder = tmp_path / "of mine"
    folder.mkdir()

    def published(number: int) -> dict[str, object]:
        row = pair(number)
        user = row["prompt"]
        assert isinstance(user, list)
        user[0]["timestamp"] = number + 1
        whole = {name: [*user, *row[name]] for name in ("chosen", "rejected")}  # type: ignore[misc]
        return {"prompt": user[0]["content"], **whole}

    data = written(folder / "pairs.jsonl", [published(number) for number in range(20)])
    done = await train(folder, data, by=process)
    assert done.code == 0, done.err
    assert all(noise not in done.err for noise in ("it/s]", "examples/s]", "Warning", "[transformers]"))
    assert "18 rows were chosen and rejected as whole conversations, split into prompt and answer" in done.out
    assert "18 rows with the field 'timestamp' in messages, which is not used" in done.out
    assert f"Next: clairgen report --training '{folder / 'out'}'\n" in done.out
    assert (
        f"To serve it: clairgen to-gguf '{folder / 'out'}' '{folder / 'out'}.gguf'. To measure it: clairgen eval"
        in done.out
    )
    again = await train(folder, data)
    assert (again.code, "is trained already" in again.out) == (0, True)


def test_training_from_python_gives_the_model_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(12)])
    given: dict[str, Any] = {"batch_size": 4, "precision": "fp32", "held_out_pairs": 2, "epochs": 1}
    cache: dict[str, Any] = {"model": saved_model(tmp_path / "model"), "reference_cache": str(tmp_path / "cache")}
    model = sync.train(data, tmp_path / "out", objective="dpo", **given, **cache)
    assert "is trained already" not in capsys.readouterr().out
    assert repr(model) == f"<TrainedModel of {tmp_path / 'out'}: dpo, 3 steps>"
    assert (model.path / "model.safetensors").is_file()
    assert sync.train(data, tmp_path / "out", objective="dpo", **given, **cache) == model
    assert "is trained already" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="learning_rat"):
        sync.train(data, tmp_path / "other", learning_rat=1, **cache)


async def test_what_the_reviser_confirmed_goes_from_generate_through_export_into_training(tmp_path: Path) -> None:
    def sometimes_revised(request: dict[str, Any]) -> Reply:
        reply = played(request)
        is_right = request["model"] == REVISER and int(re.findall(r"number (\d+)", str(request["messages"]))[0]) % 3
        return Reply(reply.body.replace(b", now better", b"")) if is_right else reply

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(12))
    async with ScriptedEndpoint(sometimes_revised) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks))
        assert (await clairgen("generate", tmp_path / "config.yaml", "--run", tmp_path / "run")).code == 0
    done = await clairgen("export", tmp_path / "run", tmp_path / "plain", "--recipe", "clair")
    assert "clair: 4 rows in train" in done.out
    assert "left out: 8 identical" in done.out
    done = await clairgen("export", tmp_path / "run", tmp_path / "all", "--keep-identical")
    assert "clair: 12 rows in train" in done.out
    assert "clair: 8 pairs of them with two equal answers, which the reviser confirmed" in done.out
    assert "stronger-preferred: 0 pairs of them" in done.out
    refused = await clairgen(
        "export", tmp_path / "run", tmp_path / "none", "--recipe", "stronger-preferred", "--keep-identical"
    )
    assert (refused.code, "none of its recipes (stronger-preferred) revises" in refused.err) == (2, True)
    given = ("--subset", "clair", "--set", "held_out_pairs=0", "--set", "chosen_nll=1")
    done = await train(tmp_path, tmp_path / "all", *given, "--set", "keep_identical=true")
    assert done.code == 0, done.err
    assert "12 pairs to train on\n" in done.out
    assert "8 pairs whose two answers are the same; the likelihood of that answer is trained" in done.out
    assert '"chosen_nll"' in (tmp_path / "out" / "log.jsonl").read_text()


@pytest.mark.parametrize(
    ("rows", "given", "said"),
    [
        ([{"prompt": [], "completion": [], "label": True}], {}, "holds single answers"),
        ([{"prompt": "2?", "chosen": "4"}], {}, "has no column rejected"),
        ([pair(1, rejected=pair(1)["chosen"])] * 3, {}, "can be trained on: 3 identical"),
        ([], {}, "empty"),
        ([pair(1)], {"subset": "clair"}, "has no subset 'clair'"),
        ([pair(1)], {"optimizer": "nothing"}, "nothing"),
        ([pair(1)], {"report_to": ["mlflow"]}, "mlflow"),
        ([pair(1)], {"batch_size": 4, "gpus": 4}, "batch_size 4 is not a multiple of 8 pairs"),
        ([pair(1)], {"model": "no-model"}, "no-model cannot be loaded"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_run(
    tmp_path: Path, rows: list[dict[str, object]], given: dict[str, object], said: str
) -> None:
    data = written(tmp_path / "pairs.jsonl", rows)
    with pytest.raises(UserError, match=said) as caught:
        prepare(str(data), tmp_path / "out", settings(tmp_path, **given))
    assert "\n" not in str(caught.value)
    good = written(tmp_path / "good.jsonl", [pair(number) for number in range(4)])
    prepare(str(good), tmp_path / "out", settings(tmp_path))  # corrected data can use the same folder


async def test_mistakes_on_the_command_line_are_one_sentence_each(tmp_path: Path) -> None:
    good = written(tmp_path / "good.jsonl", [pair(number) for number in range(4)])
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    cases: list[tuple[Path | str, tuple[str, ...], str]] = [
        (tmp_path / "none", (), "there is no data set"),
        (broken, (), "cannot be read"),
        (good, ("--objective", "ppo"), "objective"),
        (good, ("--set", "epochs"), "is not KEY=VALUE"),
        (good, ("--set", "lora=1", "--set", "lora.rank=2"), "lora was given a value of its own before"),
        (good, ("--gpus", "2"), "2 GPUs are requested"),
        (good, ("--config", "nowhere.yaml"), "there is no file nowhere.yaml, and the settings that ship are"),
    ]
    for data, more, said in cases:
        done = await train(tmp_path, data, *more)
        assert done.code == 2, (said, done)
        assert said in done.err, (said, done.err)
        assert done.err.startswith("Error: "), (said, done.err)
        assert len(done.err.strip().splitlines()) == 1, done.err


async def test_settings_are_shown_without_torch(tmp_path: Path) -> None:
    done = await clairgen("train", "data", "out", "--model", "m", "--config", "paper", "--settings")
    assert done.code == 0
    assert "learning_rate: 2.0e-07" in done.out


async def test_a_dry_run_says_what_would_be_trained_on_and_leaves_no_folder(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(20)])
    done = await train(tmp_path, data, "--dry-run", "--gpus", "2")
    assert done.code == 0, done.err
    assert "18 pairs to train on\n2 pairs held out (from train)\n" in done.out
    assert "it would take 5 steps\n" in done.out
    assert "finds the winner likelier than the loser in" in done.out
    assert done.out.endswith("Nothing was trained. The reference's log-probabilities are kept for the run itself\n")
    assert not (tmp_path / "out").exists()


async def test_the_readmes_command_is_valid() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^(?:\$ )?clairgen (train .*)$", readme, re.MULTILINE)
    done = await clairgen(*shlex.split(line), "--settings")
    assert (done.code, "objective: apo-zero" in done.out) == (0, True), done.err
    assert (Path(__file__).parents[2] / "data/classroom/student/config.json").is_file()


async def test_without_torch_the_message_has_the_command_that_installs_it(tmp_path: Path) -> None:
    import asyncio

    program = (
        "import sys, importlib.util as util; found = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'torch' else found(name, *more)\n"
        "sys.modules['torch'] = None\n"
        "sys.argv = ['clairgen', 'train', 'data', 'out', '--model', 'm']\n"
        "from clairgen.cli.app import main; main()"
    )
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, err = await running.communicate()
    assert running.returncode == 2
    assert err.decode().strip().endswith("pip install 'clairgen[train]'")


async def test_the_settings_and_data_of_a_run_are_saved(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(8)])
    assert (await train(tmp_path, data)).code == 0
    assert str(data) in (tmp_path / "out" / "training.yaml").read_text()
    text = (tmp_path / "out" / "data.json").read_text()
    assert str(data) in text
    assert json.loads(text)["train"]["rows"] == 8


def test_dropping_more_than_a_tenth_of_the_rows_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identical = pair(9, rejected=pair(9)["chosen"])
    for dropped, warned in ((1, 0), (2, 1)):
        data = written(tmp_path / f"{dropped}.jsonl", [pair(number) for number in range(9)] + [identical] * dropped)
        folder = prepare(str(data), tmp_path / f"out-{dropped}", settings(tmp_path, held_out_pairs=0))
        print_data(folder.path)
        said = capsys.readouterr()
        assert said.err.count("of the rows are not trained on (more than 10%)") == warned
        assert (
            f"{counted(dropped, 'pair')} dropped whose two answers are the same; where a reviser confirmed" in said.out
        )


async def test_a_model_is_pushed_only_with_a_token_which_is_asked_for_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(8)])
    monkeypatch.delenv("HF_TOKEN", raising=False)
    done = await train(tmp_path, data, "--push-to-hub", "me/model")
    assert (done.code, "set it in the environment as HF_TOKEN" in done.err) == (2, True)
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    done = await train(tmp_path, data, "--push-to-hub", "a b")
    assert (done.code, "'a b' cannot name a repository on the Hub" in done.err) == (2, True)
    pushed: list[tuple[Path, str, bool]] = []

    def push(folder: Path, repo_id: str, *, private: bool) -> str:
        pushed.append((folder, repo_id, private))
        return "https://hub/me/model"

    monkeypatch.setattr(command, "push_model", push)
    done = await train(tmp_path, data, "--push-to-hub", "me/model", "--set", "lora.rank=2")
    assert (done.code, "cannot be loaded by others" in done.err) == (2, True)
    for flags in ((), ("--public",)):  # the second time the model is trained already
        done = await train(tmp_path, data, "--push-to-hub", "me/model", *flags)
        assert (done.code, "https://hub/me/model" in done.out) == (0, True), done.err
    assert pushed == [(tmp_path / "out", "me/model", True), (tmp_path / "out", "me/model", False)]
