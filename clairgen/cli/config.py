"""`clairgen config`: what a configuration means, and its JSON schema for editors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clairgen.errors import ConfigError

if TYPE_CHECKING:
    from clairgen.config.role import Role


def config_command(
    path: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="The configuration (YAML).", show_default=False)
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of configurations, for editors.")
    ] = False,
) -> None:
    """Check a configuration and print it with every default written out, or print the JSON schema for an editor.

    Example: clairgen config --schema > clairgen.schema.json
    """
    from clairgen.config.file import config_yaml, load_config
    from clairgen.config.key_reference import configuration_schema
    from clairgen.pipeline.plans import plan_recipes
    from clairgen.recipes.registry import RECIPES

    if schema == (path is not None):
        raise ConfigError("give either a configuration to check, or --schema")
    if path is None:
        typer.echo(json.dumps(configuration_schema(list(RECIPES)), indent=2))
        return
    config = load_config(path)
    plan_recipes(config, config.models)
    for name, role in config.models.items():
        _require_files(name, role)
    typer.echo(config_yaml(config), nl=False)


def _require_files(name: str, role: "Role") -> None:
    """Raise ConfigError unless the files are there of the models that clairgen serves itself in this role."""
    from clairgen.embedded.gguf import embedded_address, is_embedded

    for endpoint in filter(is_embedded, role.endpoints):
        try:
            embedded_address(endpoint)
        except ConfigError as error:
            raise ConfigError(f"models.{name}: {error}") from error
