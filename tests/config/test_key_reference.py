"""The schema for editors takes what the loader takes, and marks what it refuses."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from clairgen.config.file import parse_config
from clairgen.config.key_reference import ROLES, configuration_schema
from clairgen.errors import ConfigError
from clairgen.recipes.registry import RECIPES
from tests.cli.commands import clairgen

EXAMPLES = Path(__file__).parents[2] / "data" / "examples"
SCHEMA = configuration_schema(list(RECIPES))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)  # jsonschema.validate would check the schema itself each time
ROLE = {"model": "m", "endpoints": ["http://host/v1"]}
BASE: dict[str, Any] = {"recipes": ["clair"], "tasks": {"path": "x.jsonl"}, "models": {"target": ROLE}}
TAKEN: list[dict[str, Any]] = [
    {},
    {"recipes": ["clair", {"name": "judge-on-policy", "order": "both"}]},
    {"models": {"target": ROLE, "judge": [ROLE, ROLE], "others": [ROLE, ROLE]}},
    {"models": {"judge": ROLE, "judge-2": ROLE, "other-1": ROLE}},
    {"filters": {"length_ratio": [0.5, None], "truncated": "mark", "empty": False, "refusal": "off"}},
    {"filters": {"jaccard": {"bounds": [10, None], "action": "mark"}, "near_duplicate": {"threshold": 0.9}}},
    {"filters": {"contamination": {"files": ["a.jsonl"], "ngram": 8, "action": "drop"}}},
    {"budget_usd": 5, "tokenizer": "word", "seed": 3},
    {"tasks": {"hub": "a/b", "answers": ["one", "two"], "scores": ["first", "second"], "sample": 10}},
]
REFUSED: list[dict[str, Any]] = [
    {"recipes": []},
    {"recipes": ["clear"]},
    {"tasks": {}},
    {"tasks": {"path": "x.jsonl", "hub": "a/b"}},
    {"models": {"teacher": ROLE}},
    {"models": {"target": ROLE | {"temprature": 1}}},
    {"models": {"target": ROLE | {"temperature": -1}}},
    {"filters": {"length_ratio": "sometimes"}},
    {"filters": {"truncated": [0, 1]}},
    {"budget_usd": 0},
    {"unknown": 1},
]


@pytest.mark.parametrize("change", TAKEN)
def test_what_is_taken_is_valid(change: dict[str, Any]) -> None:
    parse_config(yaml.safe_dump(BASE | change))
    VALIDATOR.validate(BASE | change)


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_refused_is_marked(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(BASE | change)
    if change != {"recipes": ["clear"]}:  # the loader leaves names of recipes to the plan
        with pytest.raises(ConfigError):
            parse_config(yaml.safe_dump(BASE | change))


@pytest.mark.parametrize("name", ["classroom.yaml", "laptop.yaml", "paper.yaml", "vllm.yaml"])
def test_shipped_examples_are_valid(name: str) -> None:
    VALIDATOR.validate(yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8")))


def test_every_key_is_described_and_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for group in (SCHEMA, *SCHEMA["$defs"].values()):
        for name, value in group.get("properties", {}).items():
            assert value.get("description"), name
    assert set(SCHEMA["properties"]["models"]["properties"]) == set(ROLES)


async def test_the_command_prints_it(tmp_path: Path) -> None:
    done = await clairgen("config", "--schema")
    assert done.code == 0
    assert json.loads(done.out) == json.loads(json.dumps(SCHEMA))
