"""The configuration's YAML file, read strictly: every fault is one sentence that names the place.

An unknown key is refused with the nearest known one; a key that stands twice is refused too.
"""

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from rapidfuzz import process

from clairgen.config import RunConfig
from clairgen.errors import ConfigError


def load_config(path: Path) -> RunConfig:
    """Read a configuration file; relative paths in it count from its folder. Raises ConfigError with one sentence."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration file {path}; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error}") from error
    config = parse_config(text, source=str(path))
    return _with_absolute_paths(config, path.resolve().parent)


def parse_config(text: str, source: str = "configuration") -> RunConfig:
    """Read a configuration from YAML text; `source` names it in errors."""
    try:
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: this is not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: this is not valid YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: a configuration is a mapping with the keys {', '.join(RunConfig.model_fields)}")
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {validation_sentence(error, RunConfig)}") from error


def config_yaml(config: RunConfig) -> str:
    """The resolved configuration as YAML, as saved with a run; it holds the names of secrets, never secrets."""
    content = config.model_dump(mode="json", exclude_none=True)
    # A recipe refuses options that it does not take, so only those that were given are written.
    content["recipes"] = [choice.model_dump(mode="json", exclude_unset=True) for choice in config.recipes]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def validation_sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault of a validation as one sentence; an unknown key, which others may follow from, with the nearest known."""
    fault, *others = sorted(error.errors(include_url=False), key=lambda entry: entry["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in fault["loc"])
    more = f" (and {len(others)} more)" if others else ""
    if fault["type"] == "extra_forbidden":
        *parents, key = fault["loc"]
        known = list(_keys_at(model, parents))
        near = process.extractOne(str(key), known, score_cutoff=60)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"unknown key {place!r}; {hint}{more}"
    if fault["type"] == "missing":
        return f"the key {place!r} is missing{more}"
    said = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {said}{more}" if place else f"{said}{more}"


def _keys_at(model: type[BaseModel], parents: list[int | str]) -> Iterator[str]:
    """Known keys of the (nested) model that a validation error's location leads to."""
    here: Any = model
    for part in parents:
        annotation = (
            here.model_fields[part].annotation if hasattr(here, "model_fields") and part in here.model_fields else here
        )
        here = next((kind for kind in _models_in(annotation)), here)
    yield from getattr(here, "model_fields", {})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type form
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


def _with_absolute_paths(config: RunConfig, folder: Path) -> RunConfig:
    """Paths counted from the configuration's folder, so that a run can be continued from anywhere."""

    def absolute(path: Path) -> Path:
        try:
            return folder / path.expanduser()
        except RuntimeError as error:
            raise ConfigError(f"the path {path} names a user who is not there; write it out") from error

    def absolute_endpoint(endpoint: str) -> str:
        if not endpoint.startswith("gguf:"):
            return endpoint
        path, mark, options = endpoint.removeprefix("gguf:").partition("?")
        return f"gguf:{absolute(Path(path))}{mark}{options}"

    tasks, models = config.tasks, config.models
    if tasks.path is not None:
        tasks = tasks.model_copy(update={"path": absolute(tasks.path)})
    roles = {
        name: role.model_copy(update={"endpoints": [absolute_endpoint(endpoint) for endpoint in role.endpoints]})
        for name, role in models.items()
    }
    recipes = [
        recipe.model_copy(update={"template": str(absolute(Path(recipe.template)))})
        if recipe.template and recipe.template.endswith(".txt")
        else recipe
        for recipe in config.recipes
    ]
    filters = config.filters.counted_from(folder)
    return config.model_copy(update={"tasks": tasks, "models": roles, "recipes": recipes, "filters": filters})


class _UniqueKeyLoader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice: YAML would keep the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the loader's own check refuses it
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
