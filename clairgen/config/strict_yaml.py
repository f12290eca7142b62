"""YAML files read strictly into a pydantic model: every fault is one sentence that names the place.

An unknown key is refused with the nearest known one; a key that stands twice is refused too.
"""

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from rapidfuzz import process

from clairgen.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError with one sentence."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration file {path}; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error}") from error


def mapping(text: str, model: type[BaseModel], source: str) -> dict[str, Any]:
    """The mapping that YAML text holds; `source` names it in errors. Raises ConfigError with one sentence."""
    try:
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: this is not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: this is not valid YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: a configuration is a mapping with the keys {', '.join(model.model_fields)}")
    return content


def validated(content: dict[str, Any], model: type[Model], source: str) -> Model:
    """The model that a mapping describes. Raises ConfigError with one sentence."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {validation_sentence(error, model)}") from error


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
