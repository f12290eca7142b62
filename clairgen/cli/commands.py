"""The commands in the order of work, each imported when it runs, so that `clairgen --help` starts fast.

The command NAME is the function `NAME_command` of the module `clairgen.cli.NAME`, both with _ for -; its line in COMMANDS is the
first one of that function's docstring.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer.main
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "Make the paper's four data sets with real, if tiny, language models on this machine; report, show, export.",
    "init": "Write a configuration with a comment for every key, and three questions to go with it; it can be run as it is.",
    "config": "Check a configuration and print it with every default written out, or print the JSON schema for an editor.",
    "generate": "Make preference pairs. Run it again at any time: only missing answers are requested.",
    "status": "Show where a run stands: pairs, failures, answers, tokens and dollars. Also works while the run goes on.",
    "show": "Show a pair: prompt, the reasoning of the reviser or a judge, and a word diff from rejected to chosen.",
    "report": "Report n, drops by reason, contrast with standard errors, and how well surface features alone predict the choice.",
    "filter": "Change the filters of a run and apply them to all pairs again; no model is asked, nothing is deleted.",
    "reparse": "Parse stored reviser answers again with this version's parser; no model is asked.",
    "advise": "Compare winners with fresh answers of the target: apo-zero fits where winners are better, apo-down where "
    "they are worse.",
    "export": "Write the kept pairs as parquet files with a card, one subset a recipe; `datasets.load_dataset` reads the "
    "folder.",
    "train": "Train a model on preference pairs under an anchored objective. Run it again at any time: it continues.",
    "experiment": "Compare data sets and objectives as the paper's Table 2 does, on models small enough for a CPU.",
    "merge-adapter": "Merge an adapter that was trained into its base, as a model of its own.",
    "to-gguf": "Write a trained model as a GGUF file, which the embedded server serves.",
    "migrate": "Bring the database of a run up to this version's schema. Nothing that was paid for is lost.",
}


class CommandGroup(TyperGroup):
    """The commands of COMMANDS, listed without being imported."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - what typer gives its groups
        super().__init__(**attributes)
        for name, line in COMMANDS.items():
            self.add_command(LazyCommand(name, help=line))


class LazyCommand(TyperCommand):
    """A command that is known by its name and its line of help until it is run or its options are completed."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: "Context | None" = None,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> "Context":
        """The context of the command itself, with which it is run."""
        return load_command(str(self.name)).make_context(info_name, args, parent, **extra)


def load_command(name: str) -> "Command":
    """A command with its options, from its module."""
    own_name = name.replace("-", "_")
    module = import_module(f"clairgen.cli.{own_name}")
    app = typer.Typer(add_completion=False)
    app.command(name)(getattr(module, f"{own_name}_command"))
    return typer.main.get_command(app)
