"""Commands whose optional packages are not installed: one sentence says what to install, and what needs none of them works."""

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from tests.cli.commands import clairgen
from tests.runs import config_text, questions, write_tasks
from tests.store.test_migration import OLD
from tests.test_dependencies import EXTRAS, MODULES, declared, installed_with, with_what_they_require

# A module that is None in `sys.modules` is not there: importing it fails, and `find_spec` finds nothing.
WITHOUT = """
import json, sys, typer.testing
hidden, commands = map(json.loads, sys.argv[1:])
sys.modules.update(dict.fromkeys(hidden))
from clairgen.cli.app import main
for command in commands:
    sys.argv = ["clairgen", *command]
    with typer.testing.CliRunner().isolation() as (_, _, both):
        try:
            main()
            code = 0
        except SystemExit as left:
            code = left.code
        except BaseException as error:
            code = repr(error)
        said = both.getvalue().decode()
    print(json.dumps([code, said]))
"""


def hidden_without(extras: set[str]) -> list[str]:
    """The modules that are not there where only these extras are installed."""
    installed = with_what_they_require(declared("").union(*map(installed_with, extras)))
    return sorted(module for package in set().union(*map(declared, EXTRAS)) - installed for module in MODULES[package])


def check(command: str, extra: str | None, code: int | str, said: str) -> None:
    """A command ended well, or with one sentence that names the extra that it needs."""
    if extra is None:
        assert (code, "Error" in said) == (0, False), (command, code, said)
    else:
        sentence = (
            f"Error: .* needs packages that are not installed; install them with: pip install 'clairgen\\[{extra}\\]'"
        )
        assert (code, bool(re.fullmatch(sentence, said.strip().splitlines()[-1]))) == (2, True), (command, code, said)


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A folder with the run `run`."""
    (tmp_path / "run").mkdir()
    with closing(connect(tmp_path / "run" / "run.db")) as database:
        database.executescript((OLD / "run.sql").read_text(encoding="utf-8"))
    return tmp_path


@pytest.mark.process
def test_a_command_without_its_packages_says_what_to_install(old_run: Path) -> None:
    tasks = write_tasks(old_run / "tasks.jsonl", questions(1))
    parquet = old_run / "tasks.parquet"
    parquet.touch()
    pairs = [{"prompt": f"What is {n} + 1?", "chosen": f"{n + 1}.", "rejected": f"{n}!"} for n in range(12)]
    write_tasks(old_run / "pairs.jsonl", pairs)
    write_tasks(old_run / "q.jsonl", [{"prompt": "What is 1 + 1?", "reference": "2"}])
    (old_run / "models" / "checkpoint-1").mkdir(parents=True)
    texts = {
        "parquet": config_text("http://127.0.0.1:9/v1", parquet),
        "hub": config_text("http://127.0.0.1:9/v1", parquet).replace(f"path: {parquet}", "hub: owner/name"),
        "local": config_text("classroom:student", tasks),
    }
    for name, text in texts.items():
        (old_run / f"{name}.yaml").write_text(text)
    needed = {
        "migrate run": None,
        "status run": None,
        "show run": None,
        "serve .": "serve",
        "filter run": None,
        "reparse run --all": None,
        "report run": None,
        "report --json run": None,
        "report run --html page.html": "report",
        "report --training run": "data",
        "export run out": "data",
        "lint pairs.jsonl": None,
        "lint pairs.jsonl --html page.html": "report",
        "lint pairs.jsonl --model owner/name": "train",
        "lint hub:owner/name": "data",
        "advise run --reward-model owner/name": "train",
        "train out model --model owner/name": "train",
        "train --settings out model --model owner/name": None,
        "generate parquet.yaml --run new": "data",
        "generate hub.yaml --run new": "data",
        "generate local.yaml --run new": "local",
        "generate local.yaml --run new --dry-run": None,
        "generate local.yaml --run new --on ray": "ray",
        "demo demo": "local",
        "evaluate questions q.jsonl --run eval --endpoint classroom:student --rule regex": "local",
        "evaluate questions q.jsonl --run eval --endpoint classroom:student --rule regex --dry-run": None,
        "evaluate questions q.jsonl --run eval --checkpoints models --rule regex": "train",
        "evaluate questions tasks.parquet --run eval --endpoint classroom:student --rule regex": "data",
        "evaluate show run": None,
        "evaluate show run --html page.html": "report",
    }
    script = [sys.executable, "-c", WITHOUT, json.dumps(hidden_without(set())), json.dumps([*map(str.split, needed)])]
    done = subprocess.run(script, cwd=old_run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (command, extra), line in zip(needed.items(), done.stdout.splitlines(), strict=True):
        check(command, extra, *json.loads(line))


@pytest.mark.parametrize("command", ["train out model --model owner/name", "advise run --reward-model owner/name"])
async def test_in_the_image_only_training_and_reward_models_have_to_be_installed(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    extras, of_training = ({*listed.split(",")} for listed in re.findall(r"install .*'\.\[(.*)\]'", dockerfile))
    assert EXTRAS.keys() - extras - of_training == {"classroom", "docs", "dev", "ray"}
    assert of_training == {"train", "qlora"}
    for module in hidden_without(extras):
        monkeypatch.setitem(sys.modules, module, None)
    done = await clairgen(*command.split())
    check(command, "train", done.code, done.err)
