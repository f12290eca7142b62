"""`clairgen vote`: what a person thinks of a pair, kept in the run."""

import getpass
import shlex
from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import plain_line
from clairgen.store import Vote, note_fault, one_spelling, voter_fault
from clairgen.wording import counted


def vote_command(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    pair: Annotated[str, typer.Argument(help="The beginning of the pair's id, as show prints it.", show_default=False)],
    vote: Annotated[
        Vote,
        typer.Argument(
            help="keep: the chosen answer is better. swap: the rejected one is. tie: neither is. drop: do not use the pair.",
            show_default=False,
        ),
    ],
    voter: Annotated[
        str | None, typer.Option(help="Whose vote it is; your user name on this machine if left out.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Why, in your words.")] = None,
) -> None:
    """Vote on a pair: keep it, drop it, swap its answers, or call it a tie. The latest vote of each voter counts.

    Earlier votes are kept. A vote no longer counts once the pair gets other answers. Votes change no pair: report counts them,
    export has a column with them, and evaluate judge --votes measures a judge on them.

    Example: clairgen vote runs/first 3f2a keep --note "the sum is right now"
    """
    from clairgen import api

    if (fault := note_fault(note)) is not None:
        raise ConfigError(f"--note {fault}")
    cast = run_coroutine(api.cast_vote(run, pair, vote, voter_name(voter, "--voter"), note))
    said = "" if cast.is_new else ", as before"
    others = f"; {counted(cast.others, 'other voter')}" if cast.others else ""
    typer.echo(f"{cast.pair_id}: {vote.value}{said}{others}")
    typer.echo(f"See it: {plain_line(shlex.join(['clairgen', 'show', str(run), '--pair', cast.pair_id]))}")


def voter_name(name: str | None, option: str) -> str:
    """The name that was given with an option, or that this machine has for the user. Raises ConfigError."""
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):  # a container without a user; KeyError before Python 3.13
            raise ConfigError(f"this machine has no name for you; say who you are with {option}") from None
    if (fault := voter_fault(name)) is not None:
        raise ConfigError(f"{option} {fault}")
    return one_spelling(name)
