"""The JSON schema of the configuration, for editors: what the models say, with the short forms that the file may use."""

from collections.abc import Mapping, Sequence
from typing import Any

from clairgen.config.key_reference import resolved
from clairgen.config.models import RunConfig

ROLES: Mapping[str, str] = {
    "target": "The model to be aligned.",
    "reviser": "Revises an answer.",
    "stronger": "Answers the prompt itself.",
    "judge": "Prefers one of two answers; one role, or a list of judges.",
    "others": "The two models whose answers judge-off-policy compares.",
}
"""The roles as a configuration names them, and what each does."""


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
    _allow_names_of_recipes(properties["recipes"], recipes)
    _allow_lists_of_roles(properties["models"])
    filters = groups[resolved(properties["filters"]["$ref"], groups)]
    for value in filters["properties"].values():
        _allow_short_filters(value, groups)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "The configuration of a clairgen run",
    }


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
