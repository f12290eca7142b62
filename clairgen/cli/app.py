"""The command line's root, and the only place where errors become exit codes.

0 done; 1 done, but some tasks failed; 2 something the user has to mend, or the budget is reached; 3 the endpoints;
130 stopped by Ctrl-C.
"""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from clairgen.cli.advise import advise
from clairgen.cli.config import config_command
from clairgen.cli.demo import demo
from clairgen.cli.export import export
from clairgen.cli.filter import filter_command
from clairgen.cli.generate import generate
from clairgen.cli.init import init_command
from clairgen.cli.migrate import migrate
from clairgen.cli.reparse import reparse
from clairgen.cli.report import report
from clairgen.cli.show import show
from clairgen.cli.signals import DRAINED
from clairgen.cli.status import status
from clairgen.cli.train import train
from clairgen.errors import BudgetError, ClairgenError, DrainedError, EndpointsError

USER = 2
ENDPOINTS = 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Preference pairs that differ in quality and little else (CLAIR), every answer kept.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "init": init_command,
    "config": config_command,
    "generate": generate,
    "status": status,
    "show": show,
    "filter": filter_command,
    "report": report,
    "reparse": reparse,
    "advise": advise,
    "export": export,
    "train": train,
    "migrate": migrate,
    "demo": demo,
}
for name, command in _COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Run the command line and leave with its exit code; a user's mistake is one sentence, never a traceback."""
    try:
        app()
    except ClairgenError as error:
        from clairgen.reporting.sanitize import plain_line

        prefix = "" if isinstance(error, BudgetError | DrainedError) else "Error: "
        sys.stderr.write(f"{prefix}{plain_line(str(error))}\n")
        sys.exit(exit_code(error))


def exit_code(error: ClairgenError) -> int:
    """The exit code that an error leaves with."""
    if isinstance(error, EndpointsError):
        return ENDPOINTS
    return DRAINED if isinstance(error, DrainedError) else USER


def _show_version(wanted: bool) -> None:
    if wanted:
        from clairgen.version import __version__

        typer.echo(f"clairgen {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Preference pairs that differ in quality and little else (CLAIR), every answer kept."""
