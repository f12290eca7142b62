"""Names of recipes on a command line: old ones are still read, with a note on stderr that says the new one."""

import typer


def current_recipe(name: str) -> str:
    """The current name of a recipe that may be given by an old one."""
    from clairgen.config.renamed import RENAMED, note

    if (current := RENAMED.recipes.get(name, name)) != name:
        typer.echo(note("recipe", name, current), err=True)
    return current
