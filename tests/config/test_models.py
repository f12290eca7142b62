import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from clairgen.config.file import config_yaml, load_config, parse_config
from clairgen.config.key_reference import Group, groups
from clairgen.config.models import RunConfig
from clairgen.config.role import Role
from clairgen.config.strict_yaml import validated
from clairgen.errors import ConfigError
from clairgen.filters.registry import FILTERS
from tests.cli.commands import clairgen

GOOD = """\
recipes: [clair, {name: stronger-preferred}]
tasks: {path: prompts.jsonl}
models:
  target: {model: m, endpoints: ["http://gpu1:8000/v1/", "http://gpu2:8000/v1"], temperature: 0.7, max_tokens: 1024}
  reviser: {model: r, endpoints: ["https://api.openai.com/v1"], api_key_env: KEY, price_per_million: {input: 10, output: 30}}
  stronger: {model: r, endpoints: ["gguf:model.gguf?context=512"]}
"""


def test_a_good_configuration_is_read_with_its_defaults() -> None:
    config = parse_config(GOOD)
    assert [recipe.name for recipe in config.recipes] == ["clair", "stronger-preferred"]
    assert config.models["target"].endpoints[0] == "http://gpu1:8000/v1"
    assert (config.seed, config.tokenizer, config.models["target"].timeout_seconds) == (0, "treebank", 600)


def test_relative_paths_count_from_the_files_folder(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    config = load_config(path)
    assert config.task_source.path == tmp_path / "prompts.jsonl"
    assert config.models["stronger"].endpoints == [f"gguf:{tmp_path}/model.gguf?context=512"]


def test_extra_is_kept_as_json_has_it() -> None:
    config = parse_config(with_role(extra={"logit_bias": {50256: -100}, "min_p": 0.1}))
    assert config.models["target"].extra == {"logit_bias": {"50256": -100}, "min_p": 0.1}


def test_how_much_a_model_thinks_is_sent_as_if_it_stood_in_extra() -> None:
    given = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}
    beside, inside = (parse_config(with_role(**keys)).models["target"] for keys in (given, {"extra": given}))
    assert beside.sampling(0) == inside.sampling(0)
    assert beside.sampling(0).extra == given


def test_saved_configuration_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    config = load_config(path)
    assert parse_config(config_yaml(config)) == config


def changed(**values: object) -> str:
    return yaml.safe_dump(yaml.safe_load(GOOD) | values)


def with_role(**values: object) -> str:
    content = yaml.safe_load(GOOD)
    content["models"]["target"] |= values
    return yaml.safe_dump(content)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("recipes: [clair\nmodels: 1", r"c\.yaml line 2: this is not valid YAML"),
        ("a: 1\n\tb: 2", r"c\.yaml line 2: this is not valid YAML"),
        ("a: &x [*x, *y]", "not valid YAML"),
        ("- 1", "is a mapping with the keys recipes, seed, tasks"),
        ("", "is a mapping with the keys"),
        (GOOD + "seed: 1\nseed: 2\n", r"line 8: .*'seed' is given twice"),
        (changed(recipe=["clair"]), "unknown key 'recipe'; did you mean 'recipes'"),
        (
            changed(zzz=1, recipe=["clair"]),
            r"unknown keys 'recipe' \(did you mean 'recipes'\?\), 'zzz' \(known here: recipes, .*\)",
        ),
        (changed(zzz=1), "unknown key 'zzz'; known here: recipes, seed, tasks"),
        (with_role(temprature=1), r"unknown key 'models\.target\.temprature'; did you mean 'temperature'"),
        (
            with_role(price_per_million={"inputs": 1, "output": 1}),
            r"'models\.target\.price_per_million\.inputs'; did you mean 'input'",
        ),
        (changed(tasks={"path": "a", "hub": "b"}), "tasks: give exactly one of `path`"),
        (changed(tasks={}), "tasks: give exactly one of `path`"),
        (changed(recipes=[]), "recipes: "),
        (changed(recipes=["clair", "clair"]), "the recipe 'clair' is listed twice"),
        (
            changed(recipes=["clair"], filters={"recipes": {"degraded": {"refusal": "drop"}}}),
            "filters.recipes names 'degraded', which is not a recipe of this run; it has clair",
        ),
        (changed(models={"teacher": {}}), "models: there is no role 'teacher'; there are target"),
        (with_role(endpoints=[]), r"models\.target\.endpoints"),
        (with_role(endpoints=["https://a.example/v1?key=abc"]), r"no query but Azure's \?api-version"),
        (with_role(headers={"api-key": "abc"}), r"the header 'api-key' holds a secret.* write \$\{NAME\}"),
        (with_role(headers={"a b": "abc"}), "'a b' is not a header that can be sent"),
        (with_role(headers={"x-team": "a\nb: c"}), "'x-team' is not a header that can be sent"),
        (with_role(headers={"Host": "abc"}), "the header 'Host' is set by clairgen"),
        (with_role(endpoints=["gpu1:8000"]), "'gpu1:8000' is not an endpoint: give a base URL such as"),
        (with_role(endpoints=["http://user:secret@gpu1/v1"]), "must not hold a user name or password"),
        (with_role(temperature=-1), r"models\.target\.temperature: -1 is given; it must be a number, at least 0$"),
        (
            with_role(temperature="hot"),
            r"models\.target\.temperature: 'hot' is given; it must be a number, at least 0$",
        ),
        (
            with_role(max_tokens=0),
            r"models\.target\.max_tokens: 0 is given; it must be a whole number, above 0, at most 100,0",
        ),
        (with_role(max_tokens="many"), r"models\.target\.max_tokens: 'many' is given; it must be a whole number"),
        (changed(tokenizer="bpe"), "tokenizer: 'bpe' is given; it must be treebank, whitespace or word$"),
        (
            with_role(max_tokens=10**24),
            r"models\.target\.max_tokens: 1000000000000000000000000 is given; it must be a whole",
        ),
        (with_role(timeout_seconds=float("inf")), r"models\.target\.timeout_seconds: inf is given; .*, and finite$"),
        (with_role(temperature=float("inf")), r"models\.target\.temperature: inf is given"),
        (with_role(send_seed="maybe"), r"models\.target\.send_seed: 'maybe' is given; it must be true or false$"),
        (with_role(model=5), r"models\.target\.model: 5 is given; it must be text, not empty$"),
        (with_role(stop=[5]), r"models\.target\.stop\.0: 5 is given; it must be text$"),
        (
            with_role(model=["sk-abcdefgh1234567890"]),
            r"models\.target\.model: what looks like an API key is given; it must",
        ),
        (with_role(price_per_million={"input": -1, "output": "x"}), r"input: -1 is given.* \(and 1 more mistake\)$"),
        (changed(tasks=None), "tasks: nothing is given; it must be a mapping with keys such as path, hub, subset$"),
        (
            changed(tasks={"path": "a", "answers": 5}),
            r"tasks\.answers: 5 is given; it must be text or a list of texts$",
        ),
        (
            changed(models=5),
            "models: 5 is given; it must be a mapping of names to mappings with keys such as model, endp",
        ),
        (changed(recipes="clair"), r"recipes: give a list of recipes, .*, such as \[clair\]$"),
        (
            changed(recipes=[{"name": "clair", "check": {"length_ratio": [1]}}]),
            r"check\.length_ratio: \[1\] is given; it must be \[lowest, highest\]$",
        ),
        (with_role(extra={"x": float("nan")}), r"models\.target\.extra: it contains what JSON cannot express"),
        (
            with_role(extra={"model": "other"}),
            r"models\.target\.extra: 'model' is set by clairgen; use the key beside",
        ),
        (
            with_role(extra={"tools": [{"type": "function"}]}),
            r"models\.target\.extra: 'tools' offers tools, and a call has no text that a recipe could compare; leave it out",
        ),
        (
            with_role(reasoning_effort="low", extra={"reasoning_effort": "high"}),
            r"models\.target: reasoning_effort is given both beside `extra` and in it; give it once",
        ),
        (
            with_role(chat_template_kwargs={"x": float("inf")}),
            r"models\.target\.chat_template_kwargs: it contains what JSON cannot express",
        ),
        (
            with_role(extra={"stream": True}),
            r"models\.target\.extra: 'stream' is set by clairgen; use the key beside `extra`",
        ),
        (
            with_role(extra={"stream_options": {}}),
            r"models\.target\.extra: 'stream_options' is set by clairgen; leave it out",
        ),
        (with_role(endpoints=["http://local host/v1"]), "has no host"),
        (with_role(endpoints=["http:///v1"]), "has no host"),
        (with_role(endpoints=["http://gpu1:99999/v1"]), "is not a URL"),
        (with_role(endpoints=["http://gpu1/v1?key=abc"]), "without # and with no query but"),
        (GOOD + "seed: 2024-13-45", "not valid YAML"),
        (GOOD + "seed: " + "9" * 5000, "not valid YAML"),
        pytest.param(GOOD + "seed: " + "[" * 100_000, "not valid YAML", marks=pytest.mark.slow),
        (GOOD.replace("model: m", 'model: "a\\0b"'), "contains a NUL character"),
        (GOOD.replace("model: m", 'model: "\\ud800"'), "(half a surrogate pair|not valid YAML)"),
        (GOOD.replace("prompts.jsonl", "~no-such-user/prompts.jsonl"), "names a user who does not exist"),
        ("models: {}", r"the key 'recipes' is missing \(and"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_every_key_is_explained() -> None:
    def undescribed(schema: dict[str, object], name: str) -> list[str]:
        properties = schema.get("properties")
        assert isinstance(properties, dict)
        return [f"{name}.{key}" for key, value in properties.items() if "description" not in value]

    schema = RunConfig.model_json_schema()
    missing = undescribed(schema, "RunConfig")
    for name, definition in schema["$defs"].items():
        if definition.get("type") == "object":
            missing += undescribed(definition, name)
    assert missing == []


def test_missing_and_unreadable_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration file .*absent\.yaml; check the path"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(binary)


def test_the_limit_of_reasoning_models_is_sent_and_counted_under_its_own_name() -> None:
    role = Role.model_validate({"model": "m", "endpoints": ["http://h/v1"], "max_completion_tokens": 500})
    assert role.longest_answer == 500
    assert role.sampling(0).extra == {"max_completion_tokens": 500}
    assert role.sampling(0).max_tokens is None


@pytest.mark.parametrize("other", [{"max_tokens": 5}, {"extra": {"max_completion_tokens": 5}}])
def test_one_limit_is_given_once(other: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="are the same limit; give one of them"):
        Role.model_validate({"model": "m", "endpoints": ["http://h/v1"], "max_completion_tokens": 500, **other})


def wrong_values(group: Group) -> Iterator[tuple[str, object]]:
    for key in group.keys:
        for value in (
            5,
            -1,
            1.5,
            "x",
            "",
            True,
            None,
            [],
            [5],
            {},
            {"x": 1},
            float("nan"),
            10**30,
            [1, 2, 3],
            ["x", {}],
        ):
            yield key.name, value


def test_no_mistake_is_said_in_the_librarys_words() -> None:
    good = yaml.safe_load(GOOD)
    known = groups(RunConfig)
    role = good["models"]["target"] | {"price_per_million": {"input": 1, "output": 1}}
    recipe = {"name": "clair", "check": {}}
    trials = [good | {name: value} for name, value in wrong_values(known["RunConfig"])]
    trials += [good | {"models": {"target": role | {name: value}}} for name, value in wrong_values(known["Role"])]
    trials += [good | {"recipes": [recipe | {name: value}]} for name, value in wrong_values(known["RecipeChoice"])]
    trials += [
        good | {"recipes": [recipe | {"check": {name: value}}]} for name, value in wrong_values(known["RevisionCheck"])
    ]
    trials += [good | {"tasks": {"path": "a", name: value}} for name, value in wrong_values(known["TaskSource"])]
    for filter_name in FILTERS.built_in:
        trials += [good | {"filters": {filter_name: value}} for _, value in wrong_values(known["Price"])]
        options = wrong_values(groups(FILTERS[filter_name].options)[FILTERS[filter_name].options.__name__])
        trials += [good | {"filters": {filter_name: {name: value}}} for name, value in options]
    by_kind: dict[str, dict[str, object]] = {}
    for trial in trials:
        try:
            RunConfig.model_validate(trial)
        except ValidationError as error:
            by_kind.setdefault(error.errors()[0]["type"], trial)
    assert len(by_kind) > 15
    for trial in by_kind.values():
        with pytest.raises(ConfigError) as caught:
            validated(trial, RunConfig, "c.yaml")
        sentence = str(caught.value)
        assert not re.search(r"should|Input|instance|dictionary|tuple|valid (?!YAML)|\n", sentence), sentence


async def test_a_configuration_whose_model_file_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    done = await clairgen("config", path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"models.stronger: There is no model file {tmp_path}/model.gguf; check the path" in done.err
