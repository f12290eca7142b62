"""Commands whose optional packages are not installed: one sentence says what to install, and what needs none of them works."""

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from tests.runs import config_text, questions, write_tasks
from tests.store.test_migration import OLD
from tests.test_dependencies import EXTRAS, MODULES, declared, installed_with, with_what_they_require

pytestmark = pytest.mark.process

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


def with_extras(folder: Path, extras: set[str], commands: list[str]) -> list[tuple[int | str, str]]:
    """Exit codes and outputs of commands, one after the other in a process that has only the packages of these extras."""
    installed = with_what_they_require(declared("").union(*map(installed_with, extras)))
    hidden = sorted(
        module for package in set().union(*map(declared, EXTRAS)) - installed for module in MODULES[package]
    )
    split = [command.split() for command in commands]
    script = [sys.executable, "-c", WITHOUT, json.dumps(hidden), json.dumps(split)]
    done = subprocess.run(script, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [(code, said) for code, said in map(json.loads, done.stdout.splitlines())]


def check(folder: Path, extras: set[str], needed: dict[str, str | None]) -> None:
    """Each command ends well, or with one sentence that names the extra that it needs."""
    for (command, extra), (code, said) in zip(needed.items(), with_extras(folder, extras, [*needed]), strict=True):
        if extra is None:
            assert (code, "Error" in said) == (0, False), (command, code, said)
        else:
            sentence = f"Error: .* needs packages that are not installed; install them with: pip install 'clairgen\\[{extra}\\]'"
            assert (code, bool(re.fullmatch(sentence, said.strip().splitlines()[-1]))) == (2, True), (
                command,
                code,
                said,
            )


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A folder with the run `run`."""
    (tmp_path / "run").mkdir()
    with closing(connect(tmp_path / "run" / "run.db")) as database:
        database.executescript((OLD / "run.sql").read_text(encoding="utf-8"))
    return tmp_path


def test_a_command_without_its_packages_says_what_to_install(old_run: Path) -> None:
    tasks = write_tasks(old_run / "tasks.jsonl", questions(1))
    parquet = old_run / "tasks.parquet"
    parquet.touch()
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
        "filter run": None,
        "reparse run --all": None,
        "report run": None,
        "report --json run": None,
        "report run --html page.html": "report",
        "report --training run": "data",
        "export run out": "data",
        "advise run --reward-model owner/name": "train",
        "train out model --model owner/name": "train",
        "train --settings out model --model owner/name": None,
        "generate parquet.yaml --run new": "data",
        "generate hub.yaml --run new": "data",
        "generate local.yaml --run new": "local",
        "generate local.yaml --run new --dry-run": None,
        "demo demo": "local",
    }
    check(old_run, set(), needed)


def test_in_the_image_only_training_and_reward_models_have_to_be_installed(old_run: Path) -> None:
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    [extras] = re.findall(r"install .*'\.\[(.*)\]'", dockerfile)
    needed = {
        "migrate run": None,
        "export run out": None,
        "report run --html page.html": None,
        "advise run --reward-model owner/name": "train",
        "train out model --model owner/name": "train",
    }
    check(old_run, set(extras.split(",")), needed)
