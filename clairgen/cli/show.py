"""`clairgen show`: a pair in the terminal."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clairgen import api
from clairgen.cli.recipe_names import current_recipe
from clairgen.cli.signals import run_coroutine
from clairgen.errors import InputError
from clairgen.reporting.pair_view import PairView


def show_command(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    pair: Annotated[
        str | None, typer.Option(help="The beginning of a pair's id, or a task's id; else the first pair.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Only pairs of this recipe.")] = None,
) -> None:
    """Show a pair: prompt, the teacher's reasoning, and a word diff from rejected to chosen.

    Example: clairgen show runs/first --recipe clair
    """
    recipe = None if recipe is None else current_recipe(recipe)
    found = run_coroutine(api.find_pairs(run, pair, recipe))
    if not found:
        wanted = f" of {pair!r}" if pair else ""
        raise InputError(
            f"{run} has no pair{wanted} that was made{f' by {recipe}' if recipe else ''}; see: clairgen status {run}"
        )
    console = Console()
    for stored in found:
        console.print(PairView(stored))
