"""`--checkpoints` through vLLM: which one is found, how it is started, and what happens where it does not start."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clairgen.cli.checkpoint_servers import VllmServer, checkpoint_server
from clairgen.cli.evaluation_options import CheckpointSource
from clairgen.errors import ConfigError, InputError
from tests.cli.commands import Done, clairgen
from tests.judges import JUDGE, shown
from tests.runs import write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said
from tests.scripted_vllm import vllm_in

VLLM = """
words = [word for word in sys.argv[2:] if word != "--enable-lora"]
arguments = dict(zip(words[::2], words[1::2]))
folder = json.loads(arguments.get("--lora-modules", "{}")).get("path", arguments["--model"])
print(json.dumps([sys.argv[1], arguments, "VLLM_API_KEY" in os.environ, os.environ["VLLM_NO_USAGE_STATS"]]), flush=True)
if os.path.exists(os.path.join(folder, "broken")):
    sys.exit("ValueError: no kernel for this model")
def answer(prompt):
    return str(int(prompt.split()[2]) + ("checkpoint-2" in folder))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that stands for vllm; what it was started with is the first line that it prints."""
    vllm_in(tmp_path / "bin", VLLM)
    return tmp_path / "bin" / "vllm"


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A model, and an adapter of rank 12."""
    for name in ("checkpoint-1", "checkpoint-2"):
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(name.encode())
    adapter = {"base_model_name_or_path": "/models/base", "r": 8, "rank_pattern": {"q_proj": 12}}
    (tmp_path / "out" / "checkpoint-2" / "adapter_config.json").write_text(json.dumps(adapter))
    (tmp_path / "out" / "checkpoint-2" / "tokenizer_config.json").write_text("{}")
    return tmp_path / "out"


async def evaluated(training: Path, *more: str | Path, environment: Mapping[str, str]) -> Done:
    file = write_tasks(
        training.parent / "sums.jsonl", [{"prompt": f"What is {n} + 1?", "reference": n + 1} for n in range(3)]
    )
    command = ("evaluate", "questions", file, "--run", training.parent / "run", "--checkpoints", training)
    return await clairgen(*command, "--rule", "numeric", *more, environment=environment)


def started(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("[")]


@pytest.mark.process
async def test_each_checkpoint_is_served_by_the_vllm_on_path(tmp_path: Path, program: Path, training: Path) -> None:
    environment = {"PATH": str(program.parent), "VLLM_API_KEY": "of another server"}
    done = await evaluated(training, "--vllm-options", "--max-model-len 64", "--json", environment=environment)
    assert done.code == 0, done
    assert [(one["label"], one["overall"]["mean"]) for one in json.loads(done.out)] == [
        ("out/checkpoint-1", 0.0),
        ("out/checkpoint-2", 1.0),
    ]
    assert f"Checkpoints are served by vLLM ({program}); it prints to {tmp_path / 'run' / 'vllm.log'}" in done.err
    whole, adapter = started(tmp_path / "run" / "vllm.log")
    assert (whole[0], whole[2:]) == ("serve", [False, "1"])
    assert {name: value for name, value in whole[1].items() if name != "--port"} == {
        "--model": str(training / "checkpoint-1"),
        "--served-model-name": "out",
        "--host": "127.0.0.1",
        "--max-model-len": "64",
    }
    assert adapter[1]["--model"] == "/models/base"
    again = await evaluated(training, environment=environment)
    assert again.code == 0
    assert "out/checkpoint-2 is evaluated already." in again.err
    assert len(started(tmp_path / "run" / "vllm.log")) == 2


@pytest.mark.process
async def test_a_checkpoint_that_does_not_start_is_one_sentence_and_the_others_go_on(
    tmp_path: Path, program: Path, training: Path
) -> None:
    (training / "checkpoint-1" / "broken").touch()
    done = await evaluated(training, "--vllm", program, "--json", environment={"PATH": ""})
    assert done.code == 1
    log = tmp_path / "run" / "vllm.log"
    [line] = [line for line in done.err.splitlines() if "left out" in line]
    assert line == (
        "out/checkpoint-1 is left out: vLLM ended before it served the model: ValueError: no kernel for this model "
        f"({log} has all that it printed)"
    )
    assert [one["label"] for one in json.loads(done.out)] == ["out/checkpoint-2"]
    assert len(started(log)) == 2


@pytest.mark.process
async def test_alpaca_compares_each_checkpoint_and_writes_the_answers_of_each(
    tmp_path: Path, program: Path, training: Path
) -> None:
    rows = [{"instruction": f"What is {n} + 1?", "output": f"About {n}.", "generator": "reference"} for n in range(4)]
    reference = tmp_path / "reference.json"
    reference.write_text(json.dumps(rows))

    def judge(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        right = str(int(prompt.split("What is ")[1].split()[0]) + 1)
        return said(f"[{1 if right in shown(prompt)[0] else 2}]")

    async with ScriptedEndpoint(judge) as endpoint:
        command = ("evaluate", "alpaca", reference, "--run", tmp_path / "run", "--checkpoints", training)
        options = ("--judge-endpoint", endpoint.url, "--judge-model", JUDGE, "--vllm", program)
        done = await clairgen(*command, *options)
        refused = await clairgen(*command, *options, "--outputs", tmp_path / "one.json")
    assert done.code == 0, done
    table = [line.split()[:3] for line in done.out.splitlines() if line.startswith("out/")]
    assert table == [["out/checkpoint-1", "4", "50.0%"], ["out/checkpoint-2", "4", "100.0%"]]
    for number, answer in ((1, "3"), (2, "4")):
        written = json.loads((tmp_path / "run" / f"out-checkpoint-{number}" / "model_outputs.json").read_text())
        assert (len(written), written[3]["output"]) == (4, answer)
        assert written[3]["generator"] == f"out/checkpoint-{number}"
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--outputs is one file; with --checkpoints each one has its own" in refused.err


def test_an_adapter_is_served_over_its_base_with_its_own_tokenizer(tmp_path: Path, training: Path) -> None:
    adapter = training / "checkpoint-2"
    arguments = VllmServer(["vllm", "serve"], [], tmp_path / "log")._model_arguments(adapter, "a=b")
    assert arguments == [
        *("--model", "/models/base", "--tokenizer", str(adapter), "--served-model-name", "a=b without the adapter"),
        *(
            "--enable-lora",
            "--max-lora-rank",
            "16",
            "--lora-modules",
            json.dumps({"name": "a=b", "path": str(adapter)}),
        ),
    ]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"base_model_name_or_path": "b", "r": 1000}, "is an adapter of rank 1000, and vLLM serves at most 512"),
        ({"base_model_name_or_path": "b"}, "does not say what base the adapter has and what rank; merge it first"),
        ([], "does not say what base the adapter has"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_one_sentence(tmp_path: Path, config: object, sentence: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=sentence):
        VllmServer(["vllm"], [], tmp_path / "log")._model_arguments(tmp_path, "name")


def test_what_serves_is_chosen_by_the_option(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chosen(vllm: str | None, options: str = "") -> str:
        checkpoint_server(CheckpointSource(tmp_path, vllm, options), tmp_path)
        return capsys.readouterr().err

    monkeypatch.setenv("PATH", str(program.parent))
    assert f"served by vLLM ({program})" in chosen(None)
    assert f"served by vLLM ({sys.executable})" in chosen(sys.executable)
    with pytest.raises(ConfigError, match="--vllm nothing is no program; name the python of an environment with vLLM"):
        chosen("nothing")
    with pytest.raises(ConfigError, match="cannot be read as arguments: No closing quotation"):
        chosen(None, "--a 'b")


def test_options_of_vllm_without_checkpoints_are_refused(tmp_path: Path) -> None:
    for vllm, options in (("no", ""), (None, "--max-model-len 64")):
        with pytest.raises(ConfigError, match="say how --checkpoints are served; name their folder as well"):
            CheckpointSource.named(None, vllm, options)
    with pytest.raises(ConfigError, match="--vllm-options is for vLLM, which is not used"):
        checkpoint_server(CheckpointSource(tmp_path, "no", "--max-model-len 64"), tmp_path)
