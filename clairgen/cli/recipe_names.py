"""Names on a command line: old ones are still read, with a note on stderr that says the new one."""

from collections.abc import Mapping

import typer

from clairgen.config.renamed import RENAMED, note


def current_recipe(name: str) -> str:
    """The current name of a recipe that may be given by an old one."""
    return _current("recipe", name, RENAMED.recipes)


def current_reason(name: str) -> str:
    """The current name of what a filter finds, which may be given by an old one."""
    return _current("reason", name, RENAMED.reasons)


def _current(kind: str, name: str, names: Mapping[str, str]) -> str:
    if (current := names.get(name, name)) != name:
        typer.echo(note(kind, name, current), err=True)
    return current
