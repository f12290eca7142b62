"""The configuration of a round: one recipe, the newest model as its target, and what all rounds rest on."""

import json
from pathlib import Path

import pytest

from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.config.role import Role
from clairgen.errors import ConfigError, InputError
from clairgen.evaluation.checkable_questions import CheckableQuestion
from clairgen.iteration.held_out import HeldOutQuestions, require_apart
from clairgen.iteration.lineage import Model
from clairgen.iteration.round_config import as_target, first_weights, generation_facts, with_one_recipe, with_target
from tests.embedded.tiny_gguf import write_tiny_gguf
from tests.runs import config, config_text, write_tasks

URL = "http://127.0.0.1:9/v1"


def off_policy(*, target: bool = True) -> RunConfig:
    """A configuration whose recipe asks no target."""
    content = json.loads(config_text(URL, Path("tasks.jsonl"), recipes=["judge-off-policy"]))
    models = content["models"]
    content["models"] = {"others": [models["stronger"]] * 2, "judge": models["reviser"]}
    content["models"] |= {"target": models["target"]} if target else {}
    return parse_config(json.dumps(content))


@pytest.mark.parametrize(
    ("given", "recipe", "said"),
    [
        (
            config(URL, Path("tasks.jsonl")),
            None,
            "has the recipes clair, stronger-preferred; name the one .* with --recipe",
        ),
        (config(URL, Path("tasks.jsonl")), "degrade", "has no recipe 'degrade'; it has clair, stronger-preferred"),
        (off_policy(target=False), None, "has no models.target, which is the model that rounds train; add it"),
        (off_policy(), None, "the recipe judge-off-policy does not ask the target, so its pairs would be the same"),
    ],
)
def test_a_configuration_that_rounds_cannot_train_on_is_refused(
    given: RunConfig, recipe: str | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        with_one_recipe(given, recipe)


def test_the_weights_are_beside_the_file_that_is_served_or_must_be_named(tmp_path: Path) -> None:
    served = Role(model="mine", endpoints=[f"gguf:{write_tiny_gguf(tmp_path / 'model.gguf')}"])
    with pytest.raises(ConfigError, match=r"the weights of models\.target \(mine\) are not beside .* with --model"):
        first_weights(served, None)
    assert first_weights(served, "owner/name") == "owner/name"
    assert first_weights(served, str(tmp_path)) == str(tmp_path.resolve())
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()
    assert first_weights(served, None) == str(tmp_path.resolve())
    remote = Role(model="mine", endpoints=[URL])
    with pytest.raises(ConfigError, match="name their folder, or their name on the hub, with --model"):
        first_weights(remote, None)


def test_a_trained_model_is_asked_as_the_first_one_was_but_for_its_address_and_its_price() -> None:
    given = {"model": "mine", "temperature": 0.7, "max_tokens": 96, "system": "Be brief."}
    hosted = Role.model_validate(
        given
        | {
            "endpoints": [URL, f"{URL}/second"],
            "weights": [1, 2],
            "api_key_env": "SOME_KEY",
            "headers": {"x-team": "a"},
            "price_per_million": {"input": 1, "output": 2},
        }
    )
    target = as_target(hosted, Model("folder", "sha256:1"), "gguf:/rounds/model.gguf")
    assert {name: getattr(target, name) for name in given} == given
    assert (target.endpoints, target.revision, target.weights) == (["gguf:/rounds/model.gguf"], "sha256:1", [])
    assert (target.api_key_env, target.headers) == (None, {})
    assert target.price_per_million is not None
    assert target.price_per_million.output == 0
    embedded = Role(model="mine", endpoints=["gguf:first.gguf?slots=4"])
    assert as_target(embedded, Model("folder"), "gguf:new.gguf").endpoints == ["gguf:new.gguf?slots=4"]
    assert as_target(embedded, Model("folder"), URL).endpoints == [URL]


def test_what_rounds_rest_on_are_requests_filters_and_tasks_but_no_addresses(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["One?"])
    before = generation_facts(with_one_recipe(config(URL, tasks), "clair"))
    moved = config("http://127.0.0.1:10/v1", tasks, reviser={"concurrency": 3})
    assert generation_facts(with_one_recipe(moved, "clair")) == before
    warmer = generation_facts(with_one_recipe(config(URL, tasks, reviser={"temperature": 1.0}), "clair"))
    assert [name for name in before if before[name] != warmer[name]] == ["models.reviser"]
    filtered = generation_facts(with_one_recipe(config(URL, tasks, filters={"jaccard": {"bounds": [0, 90]}}), "clair"))
    assert [name for name in before if before[name] != filtered[name]] == ["filters"]
    write_tasks(tasks, ["Another?"])
    other = generation_facts(with_one_recipe(config(URL, tasks), "clair"))
    assert [name for name in before if before[name] != other[name]] == ["tasks"]
    served = with_target(config(URL, tasks), Role(model="mine", endpoints=[URL]))
    assert served.models["target"].model == "mine"
    assert served.models["reviser"] == config(URL, tasks).models["reviser"]


def test_held_out_questions_that_are_tasks_too_are_refused(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["One?", {"prompt": "Two?", "id": "second"}, "Three?"])
    apart = HeldOutQuestions("test", [CheckableQuestion("Four?", "4")])
    require_apart(config(URL, tasks), apart)
    mixed = HeldOutQuestions("test", [CheckableQuestion(prompt, "x") for prompt in ("Two?", "Four?", "One?")])
    with pytest.raises(InputError, match=r"2 of 3 held-out prompts are among the tasks .* the first is 'One\?'"):
        require_apart(config(URL, tasks), mixed)
