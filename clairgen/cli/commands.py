"""The commands in the order of work, each imported when it runs, so that `clairgen --help` starts fast.

The command NAME is the function `NAME_command` of the module `clairgen.cli.NAME`, both with _ for - and for the space between a
command and its subcommand (`import`, which no module can be called, is `import_pairs`); its line here is the first one of that
function's docstring.
"""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer.main
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "Make the paper's four data sets with real, if tiny, language models on this machine; report, show, export; train.",
    "init": "Write a configuration with a comment for every key, and three questions to go with it; it can be run as it is.",
    "config": "Check a configuration and print it with every default written out, or print the JSON schema for an editor.",
    "generate": "Make preference pairs. Run it again at any time: only missing answers are requested.",
    "merge": "Make one run of shards that generate --shard made, each answer once; what was merged before adds nothing.",
    "restore": "Make a run directory of the copy that generate --copy-to kept, checked by SQLite before it is in its place.",
    "import": "Import pairs of any data set into a run, to report on, filter, export and train on them. No model is asked.",
    "lint": "Look for what is wrong with preference data: duplicates, leaks, cut or empty answers, cues, length bias and more.",
    "status": "Show where a run stands: pairs, failures, answers, tokens and dollars. Also works while the run goes on.",
    "batches": "List the batches of a run at their providers with their age, counts and expiry, or cancel the open ones.",
    "show": "Show a pair: prompt, the reasoning of the reviser or a judge, and a word diff from rejected to chosen.",
    "vote": "Vote on a pair: keep it, drop it, swap its answers, or call it a tie. The latest vote of each voter counts.",
    "revise": "Keep an answer that you edited: it makes a pair of the recipe human-revision, against the answer as it was.",
    "report": "Report n, drops by reason, contrast with standard errors, and how well surface features alone predict the choice.",
    "serve": "Serve the runs of a folder to browsers and over HTTP: reports, pairs one after another, votes, and jobs.",
    "coordinator": "Show the groups that a coordinator divides limits and a budget among: members, money, leases, shards.",
    "register": "Announce a model server to the runs that ask it, for as long as it answers. Ctrl-C or SIGTERM withdraws it.",
    "filter": "Change the filters of a run and apply them to all pairs again; no model is asked, nothing is deleted.",
    "reparse": "Parse stored reviser answers again with this version's parser; no model is asked.",
    "advise": "Compare winners with fresh answers of the target: apo-zero fits where winners are better, apo-down where "
    "they are worse.",
    "export": "Write the kept pairs as a data set with a card, one subset a recipe; `datasets.load_dataset` reads the "
    "folder.",
    "train": "Train a model on preference pairs under an anchored objective. Run it again at any time: it continues.",
    "experiment": "Compare data sets and objectives as the paper's Table 2 does, on models small enough for a CPU.",
    "merge-adapter": "Merge an adapter that was trained into its base, as a model of its own.",
    "to-gguf": "Write a trained model as a GGUF file, which the embedded server serves.",
    "evaluate": "Evaluate models, every figure with its interval. Run it again at any time: only missing answers are requested.",
    "iterate": "Make pairs, train on them, and go on with the trained model as the target, as long as rounds gain.",
    "migrate": "Bring the database of a run up to this version's schema. Nothing that was paid for is lost.",
}


SUBCOMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "evaluate": {
        "questions": "Ask a model questions and check its answers by rules; shares of right answers with their intervals.",
        "pairwise": "Compare a model's answers, or recorded ones, with an opponent's: win rate, raw and length-controlled, by "
        "one judge.",
        "alpaca": "Compare a model with AlpacaEval's reference outputs, which you give, and write its answers in the official "
        "form.",
        "judge": "Measure a judge on labelled pairs: accuracy, position bias and length bias, each with n and interval.",
        "mixeval-hard": "Evaluate a model on MixEval-Hard, both splits, with a judge: overall, by split and by benchmark.",
        "harness": "Run tasks of lm-evaluation-harness or Inspect in an environment of theirs, and keep what they report.",
        "compare": "Compare two evaluations of the same items, paired: the difference with its interval, and what changed.",
        "show": "Show every evaluation of a directory in one table, or write it as a page with answers side by side.",
    },
}
"""The subcommands of commands that have them."""

LEAVES: Final[Mapping[str, str]] = {
    **{name: line for name, line in COMMANDS.items() if name not in SUBCOMMANDS},
    **{f"{name} {sub}": line for name, lines in SUBCOMMANDS.items() for sub, line in lines.items()},
}
"""Every command that can be run, subcommands by both names."""


class CommandGroup(TyperGroup):
    """The commands of COMMANDS, listed without being imported."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - what typer gives its groups
        super().__init__(**attributes)
        for name, line in COMMANDS.items():
            if name in SUBCOMMANDS:
                self.add_command(SubcommandGroup(name, line, SUBCOMMANDS[name]))
            else:
                self.add_command(LazyCommand(name, help=line))


class SubcommandGroup(TyperGroup):
    """A command that only has subcommands."""

    def __init__(self, name: str, line: str, subcommands: Mapping[str, str]) -> None:
        super().__init__(
            name=name,
            help=line,
            no_args_is_help=True,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        for sub, of_sub in subcommands.items():
            command = LazyCommand(sub, help=of_sub)
            command.full_name = f"{name} {sub}"
            self.add_command(command)


class LazyCommand(TyperCommand):
    """A command that is known by its name and its line of help until it is run or its options are completed."""

    full_name: str | None = None

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: "Context | None" = None,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> "Context":
        """The context of the command itself, with which it is run."""
        return load_command(self.full_name or str(self.name)).make_context(info_name, args, parent, **extra)


def module_of(name: str) -> str:
    """The module of a command in this package, which begins its function's name too."""
    return "import_pairs" if name == "import" else name.replace("-", "_").replace(" ", "_")


def load_command(name: str) -> "Command":
    """A command with its options, from its module."""
    own_name = module_of(name)
    function = getattr(import_module(f"clairgen.cli.{own_name}"), f"{own_name}_command")
    # A paragraph fills the lines of the terminal and not those of the source.
    paragraphs = [" ".join(part.split()) for part in (inspect.getdoc(function) or "").split("\n\n")]
    app = typer.Typer(add_completion=False)
    app.command(name.split()[-1], help="\n\n".join(paragraphs))(function)
    return typer.main.get_command(app)
