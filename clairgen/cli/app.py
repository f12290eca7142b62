"""The root of the command line; it turns errors into one sentence on stderr and an exit code (see `output`)."""

import sys
from typing import Annotated

import typer

from clairgen.cli.commands import CommandGroup
from clairgen.cli.output import output_failure, reliable_output
from clairgen.errors import USER, BudgetError, ClairgenError, DrainedError, exit_code

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_PRINTING = frozenset({"config", "evaluate compare", "evaluate show", "lint", "report", "show", "status"})
"""Commands that do nothing but print; the exit code of the others is about what they did, whatever became of its output."""


def main() -> None:
    """Run the command line and leave with its exit code; a user's mistake is one sentence, never a traceback."""
    with reliable_output():
        try:
            app()
        except ClairgenError as error:
            from clairgen.reporting.sanitize import plain_line  # needs rich, which the start can do without

            prefix = "" if isinstance(error, BudgetError | DrainedError) else "Error: "
            sys.stderr.write(f"{prefix}{plain_line(str(error))}\n")
            sys.exit(exit_code(error))
        except SystemExit as left:
            if (failure := output_failure()) is not None:
                sys.stderr.write(
                    f"Error: standard output could not be written: {failure.strerror}; not all of it is there\n"
                )
                if left.code in (0, None) and _PRINTING & {" ".join(sys.argv[1:2]), " ".join(sys.argv[1:3])}:
                    sys.exit(USER)
            raise


def _print_version(wanted: bool) -> None:
    if wanted:
        from clairgen.installed import __version__  # reads the installation's metadata

        typer.echo(f"clairgen {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Preference pairs that differ in quality and little else (CLAIR), every answer kept."""
