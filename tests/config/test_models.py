from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from clairgen.config.file import config_yaml, load_config, parse_config
from clairgen.config.models import RunConfig
from clairgen.config.role import Role
from clairgen.errors import ConfigError

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
    assert config.tasks.path == tmp_path / "prompts.jsonl"
    assert config.models["stronger"].endpoints == [f"gguf:{tmp_path}/model.gguf?context=512"]


def test_extra_is_kept_as_json_has_it() -> None:
    config = parse_config(with_role(extra={"logit_bias": {50256: -100}, "min_p": 0.1}))
    assert config.models["target"].extra == {"logit_bias": {"50256": -100}, "min_p": 0.1}


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
        (changed(models={"teacher": {}}), "models: there is no role 'teacher'; there are target"),
        (with_role(endpoints=[]), r"models\.target\.endpoints"),
        (with_role(endpoints=["https://a.example/v1?key=abc"]), r"no query but Azure's \?api-version"),
        (with_role(headers={"api-key": "abc"}), r"the header 'api-key' holds a secret.* write \$\{NAME\}"),
        (with_role(headers={"a b": "abc"}), "'a b' is not a header that can be sent"),
        (with_role(headers={"x-team": "a\nb: c"}), "'x-team' is not a header that can be sent"),
        (with_role(headers={"Host": "abc"}), "the header 'Host' is set by clairgen"),
        (with_role(endpoints=["gpu1:8000"]), "'gpu1:8000' is not an endpoint: give a base URL such as"),
        (with_role(endpoints=["http://user:secret@gpu1/v1"]), "must not hold a user name or password"),
        (with_role(temperature=-1), r"models\.target\.temperature"),
        (with_role(max_tokens=0), r"models\.target\.max_tokens"),
        (with_role(max_tokens="many"), r"models\.target\.max_tokens"),
        (changed(tokenizer="bpe"), "tokenizer"),
        (with_role(max_tokens=10**24), r"models\.target\.max_tokens"),
        (with_role(timeout_seconds=float("inf")), r"models\.target\.timeout_seconds"),
        (with_role(temperature=float("inf")), r"models\.target\.temperature"),
        (with_role(extra={"x": float("nan")}), r"models\.target\.extra: it contains what JSON cannot express"),
        (
            with_role(extra={"model": "other"}),
            r"models\.target\.extra: 'model' is set by clairgen; use the key beside",
        ),
        (with_role(extra={"stream": True}), r"models\.target\.extra: 'stream' is set by clairgen; leave it out"),
        (with_role(endpoints=["http://local host/v1"]), "has no host"),
        (with_role(endpoints=["http:///v1"]), "has no host"),
        (with_role(endpoints=["http://gpu1:99999/v1"]), "is not a URL"),
        (with_role(endpoints=["http://gpu1/v1?key=abc"]), "without # and with no query but"),
        (GOOD + "seed: 2024-13-45", "not valid YAML"),
        (GOOD + "seed: " + "9" * 5000, "not valid YAML"),
        pytest.param(GOOD + "seed: " + "[" * 100_000, "not valid YAML", marks=pytest.mark.slow),
        (GOOD.replace("model: m", 'model: "a\\0b"'), "contains a NUL character"),
        (GOOD.replace("model: m", 'model: "\\ud800"'), "(unicode string|not valid YAML)"),
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
