"""The commands are listed without being imported, and completed with their options."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clairgen import cli
from clairgen.cli.app import app
from clairgen.cli.commands import COMMANDS, LEAVES, SUBCOMMANDS, load_command, module_of
from clairgen.filters.registry import FILTERS
from tests.cli.commands import clairgen

NOT_COMMANDS = {
    "app",
    "commands",
    "output",
    "display",
    "counters_view",
    "experiment_worker",
    "training_rank",
    "job_worker",
    "signals",
    "checkpoints",
    "checkpoint_servers",
    "evaluation_options",
    "judging_options",
    "demo_training",
    "evaluation_runs",
    "evaluation_tables",
    "estimate_table",
    "generate_on_ray",
    "ray_options",
    "iterate_dry_run",
    "iterate_steps",
    "rounds_table",
    "harness_printing",
    "mixeval_printing",
    "template_check",
}


def docstring(name: str) -> str:
    own_name = module_of(name)
    return inspect.getdoc(getattr(import_module(f"clairgen.cli.{own_name}"), f"{own_name}_command")) or ""


def test_every_module_of_the_command_line_is_a_command_or_serves_them() -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules - NOT_COMMANDS == {module_of(name) for name in LEAVES}


@pytest.mark.parametrize("name", LEAVES)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    first, blank, *_ = docstring(name).splitlines()
    assert (first, blank) == (LEAVES[name], "")
    assert "\nExample: clairgen" in docstring(name)
    command = load_command(name)
    paragraphs = [" ".join(paragraph.split()) for paragraph in docstring(name).split("\n\n")]
    assert (command.name, (command.help or "").split("\n\n")) == (name.split()[-1], paragraphs)


@pytest.mark.parametrize("name", LEAVES)
def test_no_help_has_brackets_that_a_terminal_takes_for_markup(name: str) -> None:
    command = load_command(name)
    helps = [command.help, *(getattr(option, "help", None) for option in command.params)]
    assert [text for text in helps if re.search(r"\[[a-z/#@]", text or "")] == []


def test_the_help_of_filter_names_every_filter() -> None:
    named = docstring("filter").partition("Filters: ")[2].partition(".")[0]
    assert " ".join(named.split()) == f"{', '.join(FILTERS.built_in)}; and those of plugins"


async def test_commands_stand_in_the_order_of_work() -> None:
    lines = (await clairgen("--help")).out.splitlines()
    listed = [line[2:].split()[0] for line in lines if line.startswith("│ ") and line[2:3].isalpha()]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("name", SUBCOMMANDS)
async def test_subcommands_are_listed_without_being_imported(name: str) -> None:
    lines = (await clairgen(name, "--help")).out.splitlines()
    listed = [line[2:].split()[0] for line in lines if line.startswith("│ ") and line[2:3].isalpha()]
    assert listed == list(SUBCOMMANDS[name])


async def test_a_misspelled_command_is_answered_with_the_nearest_one() -> None:
    done = await clairgen("genrate")
    assert done.code == 2
    assert "No such command 'genrate'. Did you mean 'generate'" in done.err


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("clairgen re", {"register", "report", "reparse", "restore", "revise"}),
        ("clairgen generate --dr", {"--dry-run", "--drain-seconds"}),
    ],
)
def test_commands_and_their_options_are_completed(typed: str, completed: set[str]) -> None:
    variables = {"_CLAIRGEN_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = CliRunner().invoke(app, prog_name="clairgen", env=variables)
    assert set(done.stdout.split()) == completed, done
