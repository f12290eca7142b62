"""`clairgen init`: a commented configuration to begin with."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from clairgen.errors import InputError
from clairgen.reporting.sanitize import plain_line


def init_command(
    path: Annotated[Path, typer.Argument(help="The configuration to write.")] = Path("config.yaml"),
) -> None:
    """Write a configuration with a comment for every key, and three questions to go with it; it can be run as it is.

    The models are small ones that ship with clairgen, so that no key and no GPU is needed. Nothing is overwritten.

    Example: clairgen init config.yaml
    """
    from clairgen.config.starter import PROMPTS, starter_configuration
    from clairgen.recipes.registry import RECIPES

    prompts = path.parent / "prompts.jsonl"
    if path.exists():
        raise InputError(f"{path} exists already; name another file, or remove it first")
    summaries = {name: recipe.summary for name, recipe in RECIPES.items()}
    written = [path]
    _write(path, starter_configuration(summaries, prompts=prompts.name))
    if not prompts.exists():
        _write(prompts, PROMPTS)
        written.append(prompts)
    typer.echo(f"Wrote {plain_line(' and '.join(map(str, written)))}.")
    typer.echo(f"Next: clairgen generate {plain_line(shlex.quote(str(path)))} --run runs/first --dry-run")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; name another file") from error
