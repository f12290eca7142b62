"""The keys of the configuration: as rows for people (type, limits, default, meaning), and as a JSON schema for editors.

The schema is what the models say, with the short forms that the file may use. The rows are read from the same models' schema, so
that the reference, `clairgen init` and the editor's schema cannot differ.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from clairgen.config.models import RunConfig

Schema = Mapping[str, Any]
_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
_EMPTY: Mapping[str, Any] = {"array": [], "object": {}}  # a schema does not state the default of a list or a mapping
_LIMITS = {
    "exclusiveMinimum": "above {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
}
ROLES: Mapping[str, str] = {
    "target": "The model to be aligned.",
    "reviser": "Revises an answer.",
    "critic": "Gives feedback on an answer, for feedback-edit.",
    "editor": "Edits an answer by that feedback.",
    "stronger": "Answers the prompt itself.",
    "strong": "The model whose answer `delta` prefers; it need not be stronger than the target.",
    "weak": "The model whose answer `delta` rejects.",
    "reward-model": "Scores the target's answers for `best-of-n`; served by vLLM.",
    "judge": "Prefers one of two answers, or scores an answer; one role, or a list of judges.",
    "others": "The two models whose answers judge-off-policy compares.",
}
"""The roles as a configuration names them, and what each does."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a group.

    `type` is in words, with a group's name in `[brackets]`; `limits` is empty where any value will do. `default` is the
    JSON value that is used when the key is left out, and means nothing if the key is `required`.
    """

    name: str
    type: str
    limits: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True, slots=True)
class Group:
    """The keys of one mapping of a configuration; `name` is that of the model."""

    name: str
    description: str
    keys: tuple[Key, ...]


def groups(model: type[BaseModel]) -> dict[str, Group]:
    """The model's own keys first, then those of each group that it contains, each followed by its own groups."""
    schema = model.model_json_schema()
    models: dict[str, Schema] = {model.__name__: schema, **schema.get("$defs", {})}
    found: dict[str, Group] = {}
    waiting = [model.__name__]
    while waiting:
        name = waiting.pop(0)
        if name not in found and "properties" in models[name]:
            found[name] = _group(name, models[name], models)
            waiting = [*_groups_in(list(models[name]["properties"].values()), models), *waiting]
    return found


def resolved(reference: str, models: Mapping[str, Any]) -> str:
    """The name of the model that a reference leads to, perhaps by way of others."""
    name = reference.rpartition("/")[2]
    further = models[name].get("$ref")
    return name if further is None else resolved(further, models)


def expected_at(model: type[BaseModel], location: Sequence[int | str]) -> tuple[tuple[int | str, ...], str]:
    """What the value at a location of a validation error must be, in words such as `a number, at least 0`.

    Before it the part of the location that leads into the configuration: pydantic adds the form of a union that it tried.
    """
    schema: Schema = model.model_json_schema()
    models: dict[str, Schema] = {model.__name__: schema, **schema.get("$defs", {})}
    known = []
    for part in location:
        inner = next(_inside(schema, part, models), None)
        if inner is None:
            break
        known.append(part)
        schema = inner
    limits = "".join(f", {limit}" for limit in dict.fromkeys(_limits(schema)))
    return tuple(known), f"{_with_article(_type(schema, models), models)}{limits}".replace("`", "")


def _inside(schema: Schema, part: int | str, models: Mapping[str, Schema]) -> Iterator[Schema]:
    """The schemas of the value under this key or at this position."""
    if "$ref" in schema:
        yield from _inside(models[resolved(schema["$ref"], models)], part, models)
    for option in schema.get("anyOf", ()):
        yield from _inside(option, part, models)
    if isinstance(part, int):
        yield from schema.get("prefixItems", ())[part : part + 1]
        if isinstance(items := schema.get("items"), Mapping):
            yield items
    elif part in schema.get("properties", {}):
        yield schema["properties"][part]
    else:
        yield from schema.get("patternProperties", {}).values()
        if isinstance(others := schema.get("additionalProperties"), Mapping):
            yield others


def _with_article(words: str, models: Mapping[str, Schema]) -> str:
    """The words of a type as they stand in a sentence; a group is a mapping, with its keys."""
    words = re.sub(r"\blist of (text|path|number|whole number)\b", r"list of \1s", words)
    for name in re.findall(r"\[(\w+)\]", words):
        keys = models[name].get("required") or list(models[name]["properties"])[:3]
        named = f"with keys such as {', '.join(keys)}"
        words = re.sub(rf"\b(of|to) \[{name}\]", rf"\1 mappings {named}", words).replace(
            f"[{name}]", f"mapping {named}"
        )
    words = re.sub(r"^(list|mapping|number|path|whole number)\b", r"a \1", words)
    return re.sub(r" or (list|mapping|number|path|whole number)\b", r" or a \1", words)


def configuration_schema(recipes: Sequence[str]) -> dict[str, Any]:
    """The schema (draft 2020-12) of a configuration; `recipes` are the names that are completed."""
    schema = RunConfig.model_json_schema()
    groups = schema["$defs"]
    for group in (schema, *groups.values()):
        for value in group.get("properties", {}).values():
            value.pop("title", None)
    groups["RecipeChoice"]["properties"]["name"]["enum"] = list(recipes)
    groups["TaskSource"]["oneOf"] = [{"required": ["path"]}, {"required": ["hub"]}]
    properties = schema["properties"]
    groups["PairSource"]["oneOf"] = [{"required": ["path"]}, {"required": ["hub"]}]
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": ["import"]}]
    one = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/PairSource"}]}
    properties["import"] |= {"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]}
    _allow_names_of_recipes(properties["recipes"], recipes)
    _allow_lists_of_roles(properties["models"])
    filters = groups[resolved(properties["filters"]["$ref"], groups)]
    for name, value in filters["properties"].items():
        if name != "recipes":
            _allow_short_filters(value, groups)
    filters["properties"]["recipes"]["additionalProperties"] = {"$ref": properties["filters"]["$ref"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "The configuration of a clairgen run",
    }


def _group(name: str, schema: Schema, models: Mapping[str, Schema]) -> Group:
    required = schema.get("required", ())
    keys = (
        Key(
            key,
            _type(value, models),
            ", ".join(dict.fromkeys(_limits(value))),
            key in required,
            value.get("default", _EMPTY.get(value.get("type", ""))),
            value.get("description", ""),
        )
        for key, value in schema["properties"].items()
    )
    return Group(name, schema.get("description", "").partition("\n\n")[0], tuple(keys))


def _groups_in(value: Any, models: Mapping[str, Schema]) -> Iterator[str]:  # noqa: ANN401 - any part of a schema
    if isinstance(value, Mapping):
        if isinstance(reference := value.get("$ref"), str):
            yield resolved(reference, models)
        for part in value.values():
            yield from _groups_in(part, models)
    elif isinstance(value, list):
        for part in value:
            yield from _groups_in(part, models)


def _type(schema: Schema, models: Mapping[str, Schema]) -> str:
    """What a value is, in words."""
    if "$ref" in schema:
        name = resolved(schema["$ref"], models)
        return f"[{name}]" if "properties" in models[name] else _type(models[name], models)
    if "anyOf" in schema:
        kinds = [_type(option, models) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        *others, last = (f"`{value}`" for value in schema["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    if schema.get("type") == "array":
        if pair := schema.get("prefixItems"):
            optional = any("anyOf" in item for item in pair)
            return "`[lowest, highest]`" + (", `null` for an open end" if optional else "")
        return f"list of {_type(schema.get('items', {}), models)}"
    if schema.get("type") == "object":
        inner = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
        return f"mapping of names to {_type(inner, models)}" if isinstance(inner, Mapping) else "mapping"
    if schema.get("format") == "path":
        return "path"
    return _TYPES.get(schema.get("type", ""), "any value")


def _limits(schema: Schema) -> Iterator[str]:
    for name, words in _LIMITS.items():
        if name in schema:
            yield words.format(f"{schema[name]:,}")
    if schema.get("minItems") == 1:
        yield "at least one"
    if schema.get("minLength") == 1:
        yield "not empty"
    for option in schema.get("anyOf", ()):
        yield from _limits(option)
    if isinstance(items := schema.get("items"), Mapping):
        yield from (f"each {limit}" for limit in _limits(items))


def _allow_names_of_recipes(schema: dict[str, Any], recipes: Sequence[str]) -> None:
    schema["items"] = {"anyOf": [{"enum": list(recipes)}, schema["items"]]}


def _allow_lists_of_roles(schema: dict[str, Any]) -> None:
    [role] = schema.pop("patternProperties").values()
    several = {"type": "array", "items": role, "minItems": 1}
    forms = {"judge": {"anyOf": [role, several]}, "others": {"anyOf": [role, several]}}
    schema |= {
        "properties": {name: {**forms.get(name, role), "description": does} for name, does in ROLES.items()},
        "patternProperties": {r"^(judge|other)-\d+$": role},
        "additionalProperties": False,
    }


def _allow_short_filters(schema: dict[str, Any], groups: Mapping[str, Any]) -> None:
    """A filter may be its action alone, of which YAML 1.1 reads `off` as false, or its bounds alone."""
    reference = schema.pop("$ref")
    options: list[dict[str, Any]] = [{"$ref": reference}, {"enum": ["drop", "mark", "off", False]}]
    bounds = groups[resolved(reference, groups)]["properties"].get("bounds")
    if bounds is not None:
        options += [option for option in bounds["anyOf"] if option.get("type") == "array"]
    schema["anyOf"] = options
