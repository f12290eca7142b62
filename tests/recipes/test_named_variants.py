"""Recipes whose answers have no judge (`delta`), and one recipe several times in a run (`as: NAME`)."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from clairgen import api
from clairgen.config.file import config_yaml, parse_config
from clairgen.errors import ConfigError, RunError
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.reparse import reparse
from clairgen.records import Pair
from tests.cli.commands import clairgen
from tests.runs import REVISER, TARGET, config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

TASKS = 5
LIGHTLY = {"name": "clair", "as": "clair-lightly", "template": "revise-lightly"}


async def test_delta_prefers_the_strong_model_s_answer_and_asks_nobody_else(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    async with ScriptedEndpoint(lambda request: said(f"{request['model']} answers at length")) as endpoint:
        role = {"endpoints": [endpoint.url], "max_tokens": 50}
        models = {"strong": {"model": "Qwen3-32B", **role}, "weak": {"model": "Qwen3-0.6B", **role}}
        given = config(endpoint.url, tasks, recipes=["delta"], models=models)
        expected = {one.role: one.calls for one in (await estimate(given, tmp_path / "run")).roles}
        summary = await generate(given, tmp_path / "run")
    assert summary.statuses == {"delta": {"made": TASKS}}
    assert expected == {"strong": TASKS, "weak": TASKS}
    assert Counter(request["model"] for request in endpoint.asked) == {"Qwen3-32B": TASKS, "Qwen3-0.6B": TASKS}
    for stored in await api.made_pairs(tmp_path / "run", "delta"):
        assert isinstance(stored.outcome, Pair)
        chosen, rejected = stored.outcome.chosen, stored.outcome.rejected
        assert (chosen.model, rejected.model) == ("Qwen3-32B", "Qwen3-0.6B")
        assert (chosen.text, rejected.text) == ("Qwen3-32B answers at length", "Qwen3-0.6B answers at length")


async def test_delta_of_one_model_with_itself_is_refused(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    role = {"endpoints": ["http://127.0.0.1:1/v1"], "model": "m", "max_tokens": 50}
    same = config("http://127.0.0.1:1/v1", tasks, recipes=["delta"], models={"strong": role, "weak": dict(role)})
    with pytest.raises(ConfigError, match=r"models\.strong and models\.weak are the same; give two models"):
        await generate(same, tmp_path / "run")


async def test_delta_has_no_target(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    with pytest.raises(ConfigError, match="the recipe 'delta' needs a 'strong'"):
        await generate(config("http://127.0.0.1:1/v1", tasks, recipes=["delta"]), tmp_path / "run")


def lightly_played(request: dict[str, Any]) -> Reply:
    """The reviser says which of two templates it was asked by."""
    if request["model"] != REVISER:
        return played(request)
    student = request["messages"][-1]["content"].split("{student_solution}: ")[-1].split("\n\n-----")[0]
    light = "with as few changes as possible" in request["messages"][-1]["content"]
    return said(
        f"{{teacher_reasoning}}: x\n\n{{corrected_student_solution}}: {student}{'.' if light else ', and more'}"
    )


async def test_two_variants_of_one_recipe_share_the_answer_that_both_revise(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    run = tmp_path / "run"
    async with ScriptedEndpoint(lightly_played) as endpoint:
        given = config(endpoint.url, tasks, recipes=["clair", LIGHTLY])
        expected = {one.role: one.calls for one in (await estimate(given, run)).roles}
        summary = await generate(given, run)
        again = await generate(given, run)
    assert again.statuses == summary.statuses == {"clair": {"made": TASKS}, "clair-lightly": {"made": TASKS}}
    asked = Counter(request["model"] for request in endpoint.asked)
    assert asked == {TARGET: TASKS, REVISER: 2 * TASKS}
    assert expected == {"target": TASKS, "reviser": 2 * TASKS}
    plain, lightly = await api.made_pairs(run, "clair"), await api.made_pairs(run, "clair-lightly")
    for one, other in zip(plain, lightly, strict=True):
        assert isinstance(one.outcome, Pair)
        assert isinstance(other.outcome, Pair)
        assert one.outcome.rejected == other.outcome.rejected
        assert one.outcome.chosen.text != other.outcome.chosen.text
        assert (one.outcome.recipe, other.outcome.recipe) == ("clair", "clair-lightly")
    assert [report.recipe for report in await api.report(run)] == ["clair", "clair-lightly"]
    read = await reparse(run, every=True)
    assert (read.read, read.changed) == (2 * TASKS, 0)


async def test_every_command_names_a_variant(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    run = tmp_path / "run"
    async with ScriptedEndpoint(lightly_played) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair", LIGHTLY]), run)
    shown = await clairgen("show", run, "--recipe", "clair-lightly")
    assert "clair-lightly" in shown.out
    for command in (("status", run), ("report", run), ("filter", run), ("export", run, tmp_path / "out")):
        done = await clairgen(*command)
        assert done.code == 0, done.err
        assert "clair-lightly" in done.out, command
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["README.md", "clair", "clair-lightly"]
    one = await clairgen("export", run, tmp_path / "one", "--recipe", "clair-lightly")
    assert one.code == 0
    assert not (tmp_path / "one" / "clair").exists()


async def test_another_meaning_of_a_name_is_a_change_and_another_name_a_new_recipe(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
    run = tmp_path / "run"
    async with ScriptedEndpoint(lightly_played) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=[LIGHTLY]), run)
        before = len(endpoint.asked)
        heavily = LIGHTLY | {"template": "revise"}
        with pytest.raises(
            RunError, match=r"template of the reviser: revise-lightly -> revise .*5 pairs of clair-lightly"
        ):
            await generate(config(endpoint.url, tasks, recipes=[heavily]), run)
        stronger = {"name": "stronger-preferred", "as": "clair-lightly"}
        with pytest.raises(RunError, match=r"recipes\.clair-lightly: clair -> stronger-preferred"):
            await generate(config(endpoint.url, tasks, recipes=[stronger]), run)
        renamed = await generate(config(endpoint.url, tasks, recipes=[LIGHTLY | {"as": "light"}]), run)
        assert len(endpoint.asked) == before  # the same requests, so the same answers
        assert renamed.statuses == {"clair-lightly": {"made": TASKS}, "light": {"made": TASKS}}
        back = await generate(config(endpoint.url, tasks, recipes=[stronger]), run, Options(accept_changes=True))
    assert back.statuses["clair-lightly"] == {"made": TASKS}


def test_a_saved_configuration_keeps_the_name(tmp_path: Path) -> None:
    given = config("http://127.0.0.1:1/v1", tmp_path / "tasks.jsonl", recipes=["clair", LIGHTLY])
    assert yaml.safe_load(config_yaml(given))["recipes"] == [{"name": "clair"}, LIGHTLY]
    assert parse_config(config_yaml(given)) == given


@pytest.mark.parametrize(
    ("recipes", "said"),
    [
        ([LIGHTLY | {"as": "two words"}], "'two words' cannot name a subset of an export; use up to 64 of the letters"),
        ([LIGHTLY | {"as": "x" * 65}], "cannot name a subset of an export"),
        ([LIGHTLY | {"as": "light."}], "a letter or a digit first and last"),
        ([LIGHTLY | {"as": "../light"}], "cannot name a subset of an export"),
        ([LIGHTLY | {"as": "README.md"}], "'README.md' is the name of a file of every export"),
        ([LIGHTLY | {"as": "light"}, LIGHTLY | {"as": "Light"}], "'light' and 'Light' differ in capitals alone"),
        (["clair", "clair"], "the recipe 'clair' is listed twice; list it once, or call one of them .* `as: NAME`"),
        ([LIGHTLY, LIGHTLY], "the recipe 'clair-lightly' is listed twice"),
        (["stronger-preferred", LIGHTLY | {"as": "stronger-preferred"}], "'stronger-preferred' is listed twice"),
        ([LIGHTLY | {"as": "a name"}], "recipes.0.as"),
        ([LIGHTLY | {"as": "../x"}], "recipes.0.as"),
        ([LIGHTLY | {"as": ""}], "recipes.0.as"),
        ([{"name": "clair", "as_name": "x"}], "as_name"),
    ],
)
def test_names_are_checked(recipes: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(config_text("http://127.0.0.1:1/v1", tmp_path / "tasks.jsonl", recipes=recipes))


async def test_a_variant_cannot_have_the_name_of_another_recipe(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    former = config("http://127.0.0.1:1/v1", tasks, recipes=[LIGHTLY | {"as": "worsened"}])
    with pytest.raises(ConfigError, match="`as: worsened` is the name of another recipe"):
        await generate(former, tmp_path / "run")
    given = config("http://127.0.0.1:1/v1", tasks, recipes=[LIGHTLY | {"as": "judge-on-policy"}])
    with pytest.raises(ConfigError, match="`as: judge-on-policy` is the name of another recipe"):
        await generate(given, tmp_path / "run")
