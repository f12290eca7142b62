"""YAML files read strictly into a pydantic model: every mistake is one sentence that names the key.

An unknown key is refused with the nearest known one; a key given twice is refused too.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from rapidfuzz import process

from clairgen.config.field_checks import contains_key
from clairgen.errors import ConfigError
from clairgen.wording import counted

Model = TypeVar("Model", bound=BaseModel)
_LONGEST_GIVEN = 80

DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""libyaml, where it is there, writes what yaml.safe_dump writes in a quarter of the time."""
_DEEPEST: Final = 50
_MOST_NODES: Final = 20_000
_MOST_SIGNS = 1000
"""Signs that can open a collection in a text that libyaml reads: nesting many thousands deep would crash it."""


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError with one sentence."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration file {path}; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error}") from error


def require_bounded(text: str, source: str) -> None:
    """Raise ConfigError for YAML that is nested too deep, or that by aliases stands for far more than it is long."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    sizes: dict[str | None, int] = {}
    try:
        for event in yaml.parse(text, Loader=loader):
            anchor, size = getattr(event, "anchor", None), 0
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((anchor, 1))
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, size = open_nodes.pop()
                sizes[anchor] = size
            elif isinstance(event, yaml.ScalarEvent):
                size = sizes[anchor] = 1
            elif isinstance(event, yaml.AliasEvent):
                size = sizes.get(anchor, _MOST_NODES)  # of one that has itself in it
            open_nodes[-1] = (open_nodes[-1][0], open_nodes[-1][1] + size)
            if len(open_nodes) > _DEEPEST or open_nodes[-1][1] > _MOST_NODES:
                raise ConfigError(
                    f"{source}: it is nested more than {_DEEPEST} deep, or aliases (*) make far too much of it"
                )
    except (yaml.YAMLError, ValueError, RecursionError):
        return  # `mapping` says what is wrong with it


def mapping(text: str, model: type[BaseModel], source: str) -> dict[str, Any]:
    """The mapping that YAML text holds; `source` names it in errors. Raises ConfigError with one sentence."""
    try:
        content = _loaded(text)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: this is not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: this is not valid YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: a configuration is a mapping with the keys {', '.join(_fields(model))}")
    return content


def validated(content: dict[str, Any], model: type[Model], source: str | Callable[[Sequence[str]], str]) -> Model:
    """The model that a mapping describes. Raises ConfigError with one sentence.

    `source` says where the mapping is from, if need be by the keys that are wrong, such as `lora.rank`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        where, sentence = _mistake(error, model)
        raise ConfigError(f"{source if isinstance(source, str) else source(where)}: {sentence}") from error


def validation_sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error of a validation as one sentence; unknown keys, which can cause others, come first and together."""
    return _mistake(error, model)[1]


def _mistake(error: ValidationError, model: type[BaseModel]) -> tuple[list[str], str]:
    """The keys that are named and the sentence about them."""
    errors = error.errors(include_url=False)
    unknown = dict(_unknown_key(entry["loc"], model) for entry in errors if entry["type"] == "extra_forbidden")
    if unknown:
        others = {_where(entry["loc"]) for entry in errors} - unknown.keys()
        if len(unknown) == 1:
            return list(unknown), "unknown key {!r}; {}".format(*next(iter(unknown.items()))) + _more(len(others))
        named = ", ".join(f"{where!r} ({hint})" for where, hint in unknown.items())
        return list(unknown), f"unknown keys {named}{_more(len(others))}"
    sentences = dict(_wrong_value(entry["type"], entry, model) for entry in reversed(errors))
    where, sentence = next(reversed(sentences.items()))
    return [where], sentence + _more(len(sentences) - 1)


def _more(count: int) -> str:
    return f" (and {counted(count, 'more mistake')})" if count else ""


def _wrong_value(kind: str, entry: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, str]:
    """The key of an error, and a sentence about it: our own where we have one, else what is expected and what was given."""
    location = entry["loc"]
    if kind == "missing" and isinstance(location[-1], str):
        return (where := _where(location)), f"the key {where!r} is missing"
    if kind in ("value_error", "assertion_error"):
        where = _where(location)
        message = str(entry["ctx"]["error"])
        return where, f"{where}: {message}" if where else message
    if kind == "string_unicode":
        return (where := _where(location)), f"{where}: it contains half a surrogate pair, which is not text; remove it"
    from clairgen.config.key_reference import expected_at  # loads the models of generate, which a mistake is worth

    known, expected = expected_at(model, location[:-1] if kind == "missing" else location)
    where = _where(known)
    finite = ", and finite" if kind == "finite_number" else ""
    return where, f"{f'{where}: ' if where else ''}{_given(entry['input'])} is given; it must be {expected}{finite}"


def _given(value: object) -> str:
    """A value as it stands in a sentence, shortened; never a key."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    shown = repr(value)
    if contains_key(shown):
        return "what looks like an API key"
    return shown if len(shown) <= _LONGEST_GIVEN else f"{shown[:_LONGEST_GIVEN]}…"


def _loaded(text: str) -> object:
    """What YAML text holds. libyaml reads it in a tenth of the time of PyYAML's own parser, whose errors say more."""
    if _FastLoader is not None and sum(map(text.count, "[{-?:")) <= _MOST_SIGNS:
        with contextlib.suppress(yaml.YAMLError):
            return yaml.load(text, Loader=_FastLoader)  # noqa: S506 - a SafeLoader
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def _unknown_key(location: Sequence[int | str], model: type[BaseModel]) -> tuple[str, str]:
    """Where an unknown key is, and what it may be meant to be."""
    *parents, key = location
    known = list(_keys_at(model, parents))
    near = process.extractOne(str(key), known, score_cutoff=60)
    return _where(location), f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _where(location: Sequence[int | str]) -> str:
    return ".".join(map(str, location))


def _keys_at(model: type[BaseModel], parents: list[int | str]) -> Iterator[str]:
    """The known keys of the nested model at a validation error's location."""
    here: Any = model
    for part in parents:
        field = _fields(here).get(str(part))
        annotation = here if field is None else field.annotation
        here = next((kind for kind in _models_in(annotation)), here)
    yield from _fields(here)


def _fields(model: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any type form
    """The declared fields of a model; of one that reads its keys from a registry, those that it says it knows."""
    if hasattr(model, "known_fields"):
        known: Mapping[str, Any] = model.known_fields()
        return known
    return {field.alias or name: field for name, field in getattr(model, "model_fields", {}).items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type form
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


class _UniqueKeys(yaml.constructor.SafeConstructor):
    """Refuses a key given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the loader's own check refuses it
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _Loader(_UniqueKeys, yaml.SafeLoader): ...


_FastLoader: type[yaml.CSafeLoader] | None = (
    type("_FastLoader", (_UniqueKeys, yaml.CSafeLoader), {}) if yaml.__with_libyaml__ else None
)
