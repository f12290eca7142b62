"""`clairgen show`: a pair in the terminal, and the command that shows the next one."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError, InputError
from clairgen.records import StoredPair, Undecided
from clairgen.reporting.sanitize import plain_line

if TYPE_CHECKING:
    from clairgen import api
    from clairgen.reporting.pair_view import PairView
    from clairgen.store import PairChoice


def show_command(
    run: Annotated[Path, typer.Argument(help="The run directory, or a folder of shards.", show_default=False)],
    pair: Annotated[
        str | None, typer.Option(help="The beginning of a pair's id, or a task's id; else the first pair.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Only pairs of this recipe.")] = None,
    dropped: Annotated[
        str | None, typer.Option(metavar="REASON", help="Only pairs that a filter drops for this reason.")
    ] = None,
    marked: Annotated[bool, typer.Option("--marked", help="Only pairs that a filter marks.")] = False,
    number: Annotated[int, typer.Option(min=1, max=2**40, help="Which of these pairs, counted from 1.")] = 1,
    random: Annotated[bool, typer.Option("--random", help="Any of these pairs.")] = False,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="Also what the models thought before they answered.")
    ] = False,
) -> None:
    """Show a pair: prompt, the reasoning of the reviser or a judge, and a word diff from rejected to chosen.

    Example: clairgen show runs/first --recipe clair
    """
    from clairgen.config.renamed import current_reason, current_recipe
    from clairgen.store import PairChoice

    recipe = None if recipe is None else current_recipe(recipe, partial(typer.echo, err=True))
    dropped = None if dropped is None else current_reason(dropped, partial(typer.echo, err=True))
    choice = PairChoice(recipe, dropped, marked)
    if pair is not None:
        if dropped is not None or marked or random or number > 1:
            raise ConfigError("--pair names the pair; leave out --dropped, --marked, --number and --random")
        _show_named(run, pair, recipe, thinking=thinking)
        return
    place, found = run_coroutine(_chosen(run, choice, None if random else number))
    if found.pair is None:
        here = f"there are {found.count:,} such pairs" if found.count else "there is no such pair"
        raise InputError(f"{run} has no pair number {number:,} of those: {here}; see: clairgen status {run}")
    Console().print(_view(place, found.pair, thinking=thinking))
    typer.echo(f"Pair {found.number:,} of {found.count:,}.{_others(found, run)}")
    if random:
        typer.echo(f"Another one: {_command(run, choice)} --random")
    elif found.number < found.count:
        typer.echo(f"Next: {_command(run, choice)} --number {found.number + 1}")


async def _chosen(run: Path, choice: "PairChoice", number: int | None) -> "tuple[Path, api.ChosenPair]":
    """The chosen pair of a run, or of a folder of shards, and the run directory that it is in."""
    from clairgen import api
    from clairgen.store import runs_inside

    if runs_inside(run):
        return await api.choose_in_shards(run, choice, number)
    return run, await api.choose_pair(run, choice, number)


def _show_named(run: Path, pair: str, recipe: str | None, *, thinking: bool) -> None:
    """Show the pairs whose id begins so, or whose task has this id."""
    from clairgen import api
    from clairgen.store import runs_inside

    if runs_inside(run):
        found = run_coroutine(api.find_in_shards(run, pair, recipe))
    else:
        found = [(run, stored) for stored in run_coroutine(api.find_pairs(run, pair, recipe))]
    if not found:
        by = f" by {recipe}" if recipe else ""
        raise InputError(f"{run} has no pair of {pair!r} that was made{by}; see: clairgen status {run}")
    console = Console()
    for place, stored in found:
        console.print(_view(place, stored, thinking=thinking))


def _view(run: Path, stored: StoredPair, *, thinking: bool) -> "PairView":
    """A pair as it is shown; where nothing was decided, with what judges and scorers wrote."""
    from clairgen import api
    from clairgen.reporting.pair_view import PairView

    undecided = isinstance(stored.outcome, Undecided)
    replies = run_coroutine(api.judge_replies(run, stored)) if undecided else ()
    of_scorers = run_coroutine(api.score_replies(run, stored)) if undecided and stored.outcome.scores else ()
    thoughts = run_coroutine(api.thoughts(run, stored))
    votes = run_coroutine(api.votes(run, stored))
    made_by = run_coroutine(api.recipe_behind(run, stored.outcome.recipe))
    return PairView(stored, replies, thoughts, of_scorers, votes, shows_thoughts=thinking, made_by=made_by)


def _others(found: "api.ChosenPair", run: Path) -> str:
    """How many more pairs the task has, and how to see them."""
    if not found.others_of_task or found.pair is None:
        return ""
    count = found.others_of_task
    command = shlex.join(["clairgen", "show", str(run), "--pair", found.pair.task.id])
    return f" Its task has {count:,} other pair{'' if count == 1 else 's'}: {plain_line(command)}"


def _command(run: Path, choice: "PairChoice") -> str:
    """The command that shows pairs of this choice, quoted for a shell."""
    command = ["clairgen", "show", str(run)]
    command += ["--recipe", choice.recipe] if choice.recipe is not None else []
    command += ["--dropped", choice.dropped] if choice.dropped is not None else []
    command += ["--marked"] if choice.marked else []
    return plain_line(shlex.join(command))
