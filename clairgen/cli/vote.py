"""`clairgen vote`: what a person thinks of a pair, kept in the run."""

import getpass
import shlex
from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError, InputError
from clairgen.records import Pair
from clairgen.reporting.sanitize import plain_line
from clairgen.store import RunDirectory, Vote, writing
from clairgen.wording import counted

_LONGEST_NOTE = 10_000
_LONGEST_ID = 10_000  # beyond that SQLite refuses the pattern


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
    found, is_new = run_coroutine(_cast(run, pair, vote, _voter(voter), note))
    identity, before = found
    said = "" if is_new else ", as before"
    others = f"; {counted(before, 'other voter')}" if before else ""
    typer.echo(f"{identity}: {vote.value}{said}{others}")
    typer.echo(f"See it: {plain_line(shlex.join(['clairgen', 'show', str(run), '--pair', identity]))}")


async def _cast(run: Path, start: str, vote: Vote, voter: str, note: str | None) -> tuple[tuple[str, int], bool]:
    """The pair's id with how many others have voted on it, and whether the vote is a new one."""
    if note is not None and (len(note) > _LONGEST_NOTE or "\0" in note):
        raise ConfigError(f"--note is a text of at most {_LONGEST_NOTE:,} characters, without a NUL")
    directory = RunDirectory(run)
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            found = await store.pairs.find(start[:_LONGEST_ID]) if start else []
            if len(found) != 1:
                ids = ", ".join(f"{one.id} ({one.outcome.recipe})" for one in found[:5])
                raise InputError(
                    f"{run} has {counted(len(found), 'made pair')} of {start[:100]!r}"
                    + (f"; name one by its id: {ids}" if found else f"; see: clairgen show {run}")
                )
            if not isinstance(found[0].outcome, Pair):
                raise InputError(f"pair {found[0].id} has no chosen answer, so there is nothing to vote on")
            is_new = await store.votes.cast(found[0].id, voter, vote, note)
            others = sum(one.voter != voter for one in await store.votes.of_pair(found[0].id))
            return (found[0].id, others), is_new


def _voter(name: str | None) -> str:
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):  # a container without a user; KeyError before Python 3.13
            raise ConfigError("this machine has no name for you; say whose vote it is with --voter") from None
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise ConfigError("--voter is a name of 1 to 200 printable characters")
    return name.strip()
