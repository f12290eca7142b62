"""The configuration's YAML file: read strictly, with paths relative to its folder, and written into a run."""

import logging
from collections.abc import Mapping
from pathlib import Path

import yaml

from clairgen.config.endpoint_checks import FILE_SCHEME, REGISTERED
from clairgen.config.models import RunConfig
from clairgen.config.renamed import with_new_names
from clairgen.config.role import Role
from clairgen.config.strict_yaml import DUMPER, mapping, read_text, validated
from clairgen.embedded.gguf import CLASSIFIER
from clairgen.errors import ConfigError

_log = logging.getLogger(__name__)


def load_config(path: Path | str) -> RunConfig:
    """Read a configuration file; relative paths in it are relative to its folder. Raises ConfigError with one sentence.

    Old names of keys, recipes and filters are still read; a warning, on stderr unless logging is set up, says the new ones.
    """
    path = Path(path)
    content, notes = with_new_names(mapping(read_text(path), RunConfig, str(path)), str(path))
    for note in notes:
        _log.warning(note)
    return _with_absolute_paths(validated(content, RunConfig, str(path)), path.resolve().parent)


def parse_config(text: str, source: str = "configuration") -> RunConfig:
    """Read a configuration from YAML text, such as one saved with a run; `source` names it in errors. Old names are read too."""
    content, _ = with_new_names(mapping(text, RunConfig, source), source)
    return validated(content, RunConfig, source)


def config_yaml(config: RunConfig) -> str:
    """The resolved configuration as YAML, as saved with a run; secrets appear by name only."""
    content = config.model_dump(mode="json", exclude_none=True)
    # A recipe refuses options that it does not have, so only those that were given are written.
    content["recipes"] = [
        choice.model_dump(mode="json", exclude_unset=True, by_alias=True) for choice in config.recipes
    ]
    text: str = yaml.dump(content, Dumper=DUMPER, sort_keys=False, allow_unicode=True)
    return text


def with_absolute_endpoints(models: Mapping[str, Role], folder: Path) -> dict[str, Role]:
    """Roles with the model files of their endpoints counted from a folder; a classifier that is not there is the hub's."""

    def absolute(endpoint: str) -> str:
        if endpoint.startswith(CLASSIFIER):
            model = _absolute(Path(endpoint.removeprefix(CLASSIFIER)), folder)
            return f"{CLASSIFIER}{model}" if model.is_dir() else endpoint
        if endpoint.startswith(FILE_SCHEME):
            return f"{FILE_SCHEME}{_absolute(Path(endpoint.removeprefix(FILE_SCHEME)), folder)}"
        if endpoint.startswith(f"{REGISTERED}:"):
            return f"{REGISTERED}:{_absolute(Path(endpoint.removeprefix(f'{REGISTERED}:')), folder)}"
        if not endpoint.startswith("gguf:"):
            return endpoint
        path, mark, options = endpoint.removeprefix("gguf:").partition("?")
        return f"gguf:{_absolute(Path(path), folder)}{mark}{options}"

    return {
        name: role.model_copy(update={"endpoints": [absolute(endpoint) for endpoint in role.endpoints]})
        for name, role in models.items()
    }


def _absolute(path: Path, folder: Path) -> Path:
    try:
        return folder / path.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"the path {path} names a user who does not exist; write it out") from error


def _with_absolute_paths(config: RunConfig, folder: Path) -> RunConfig:
    """Paths made absolute from the configuration's folder, so that a run can be continued from any working directory."""
    tasks = config.tasks
    if tasks is not None and tasks.path is not None:
        tasks = tasks.model_copy(update={"path": _absolute(tasks.path, folder)})
    imports = [
        one if one.path is None else one.model_copy(update={"path": _absolute(one.path, folder)})
        for one in config.imports or ()
    ]
    roles = with_absolute_endpoints(config.models, folder)
    recipes = [
        recipe.model_copy(update={"template": str(_absolute(Path(recipe.template), folder))})
        if recipe.template and recipe.template.endswith(".txt")
        else recipe
        for recipe in config.recipes
    ]
    filters = config.filters.counted_from(folder)
    changed = {"tasks": tasks, "imports": imports or None, "models": roles, "recipes": recipes, "filters": filters}
    return config.model_copy(update=changed)
