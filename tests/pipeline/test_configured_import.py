"""`import:` in a configuration: pairs from elsewhere in the run that the configuration makes, beside its recipes or alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.config.file import config_yaml, load_config, parse_config
from clairgen.errors import ConfigError, InputError, RunError
from clairgen.iteration.round_config import with_one_recipe
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import Options, generate
from clairgen.records import Pair
from tests.cli.commands import clairgen
from tests.pipeline.test_import_pairs import rows, written
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint


def configuration(url: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any part of a configuration
    content: dict[str, Any] = json.loads(config_text(url, Path("unused"), recipes=["clair"]))
    del content["tasks"]
    return content | changes


def saved(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(json.dumps(content))
    return path


async def test_pairs_are_imported_alone_where_there_are_no_recipes(tmp_path: Path) -> None:
    written(tmp_path / "pairs.jsonl", [*rows(3), {"prompt": "Q", "chosen": None, "rejected": "b"}])
    path, run = saved(tmp_path, {"import": "pairs.jsonl"}), tmp_path / "run"
    dry = await clairgen("generate", path, "--run", run, "--dry-run")
    assert "To be imported as imported: at most 3 pairs; pairs.jsonl: a chosen and a rejected answer" in dry.out
    assert "1 row left out, the first at pairs.jsonl line 4" in dry.out
    assert "Nothing: there are no recipes." in dry.out
    assert not run.exists()
    for _ in range(2):
        done = await clairgen("generate", path, "--run", run)
        assert done.code == 0
        assert "imported: 1 row left out, the first at pairs.jsonl line 4" in done.out
        assert len(await api.made_pairs(run, "imported")) == 3
    saved_again = load_config(run / "config.yaml")
    assert saved_again.imports == load_config(path).imports
    assert parse_config(config_yaml(saved_again)) == saved_again


async def test_recipes_make_pairs_of_the_imported_prompts_and_reports_match_them(tmp_path: Path) -> None:
    written(tmp_path / "pairs.jsonl", [*rows(3), {**rows(1)[0], "chosen": "Another."}])
    run = tmp_path / "run"
    async with ScriptedEndpoint(played) as endpoint:
        config = load_config(
            saved(tmp_path, configuration(endpoint.url, **{"import": {"path": "pairs.jsonl", "name": "theirs"}}))
        )
        found = await estimate(config, run)
        assert [(one.name, one.pairs) for one in found.imports] == [("theirs", 4)]
        assert (found.tasks, {role.role: role.calls for role in found.roles}) == (3, {"target": 3, "reviser": 3})
        summary = await generate(config, run, Options(limit=2))
        assert summary.statuses == {"clair": {"made": 2, "pending": 1}, "theirs": {"made": 4}}
        assert len(endpoint.asked) == 4
        again = await estimate(config, run)
    assert (again.imports, {role.role: role.calls for role in again.roles}) == ([], {"target": 1, "reviser": 1})
    ours, theirs = await api.report(run, matched=True)
    assert (ours.recipe, ours.n, ours.matched_tasks) == ("clair", 2, 2)
    assert (theirs.recipe, theirs.n, theirs.kept) == ("theirs", 3, 3)
    assert theirs.to_json()["matched_tasks"] == 2
    done = await clairgen("report", run, "--matched")
    assert "Only the 2 tasks of which every recipe has a pair that is kept." in done.out


async def test_own_tasks_and_imported_prompts_are_the_tasks_of_a_run(tmp_path: Path) -> None:
    written(tmp_path / "pairs.jsonl", rows(3))
    tasks = write_tasks(tmp_path / "tasks.jsonl", [*questions(1), "Another question"])
    async with ScriptedEndpoint(played) as endpoint:
        content = configuration(endpoint.url, tasks={"path": str(tasks)}, **{"import": ["pairs.jsonl"]})
        config = load_config(saved(tmp_path, content))
        assert (await estimate(config, tmp_path / "run")).tasks == 4
        summary = await generate(config, tmp_path / "run")
    assert summary.statuses == {"clair": {"made": 4}, "imported": {"made": 3}}
    asked = [stored.task.messages[-1].content for stored in await api.made_pairs(tmp_path / "run", "clair")]
    assert asked == ["Question number 0", "Another question", "Question number 1", "Question number 2"]


async def test_the_filters_of_the_configuration_are_applied_to_imported_pairs(tmp_path: Path) -> None:
    written(tmp_path / "pairs.jsonl", rows(3))
    config = load_config(
        saved(tmp_path, {"import": "pairs.jsonl", "filters": {"length_ratio": {"bounds": [0.5, 2], "action": "drop"}}})
    )
    summary = await generate(config, tmp_path / "run")
    assert summary.dropped == {"imported": {"length-ratio-above": 3}}
    assert [note.partition(":")[0] for note in summary.progress.notes] == ["pairs.jsonl"]


@pytest.mark.parametrize("jobs", [1, 2])
async def test_filters_of_one_recipe_are_those_of_imported_pairs_of_that_name(
    tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clairgen.pipeline.row_measures._BEFORE_PROCESSES", 0)
    written(tmp_path / "pairs.jsonl", rows(3))
    limits = {"length_ratio": {"bounds": [0.5, 2], "action": "drop"}}
    both = [{"path": "pairs.jsonl", "name": name} for name in ("mine", "theirs")]
    monkeypatch.setattr("clairgen.pipeline.import_pairs.usable_cores", lambda: jobs)
    config = load_config(saved(tmp_path, {"import": both, "filters": {"recipes": {"theirs": limits}}}))
    assert (await generate(config, tmp_path / "run")).dropped == {"theirs": {"length-ratio-above": 3}}


async def test_a_changed_source_and_a_name_that_is_taken_are_refused_before_any_request(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.jsonl", rows(2))
    async with ScriptedEndpoint(played) as endpoint:
        config = load_config(saved(tmp_path, configuration(endpoint.url, **{"import": "pairs.jsonl"})))
        await generate(config, tmp_path / "run", Options(limit=1))
        asked = len(endpoint.asked)
        written(path, rows(3))
        for refusing in (generate, estimate):
            with pytest.raises(RunError, match="is another source or has changed since; give these another name"):
                await refusing(config, tmp_path / "run")
        assert len(endpoint.asked) == asked


async def test_what_is_not_understood_is_refused_with_the_way_to_say_it(tmp_path: Path) -> None:
    written(tmp_path / "pairs.jsonl", [{"q": "Question?", "chosen": "a", "rejected": "b"}])
    refused = load_config(saved(tmp_path, {"import": "pairs.jsonl"}))
    with pytest.raises(
        InputError, match=r"^import: pairs.jsonl has no column with the prompt.*`columns: {ROLE: NAME}`"
    ):
        await generate(refused, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    named = load_config(saved(tmp_path, {"import": {"path": "pairs.jsonl", "columns": {"prompt": "q"}}}))
    await generate(named, tmp_path / "run")
    [stored] = await api.made_pairs(tmp_path / "run", "imported")
    assert isinstance(stored.outcome, Pair)
    assert stored.task.messages[-1].content == "Question?"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"import": []}, "the key 'recipes' is missing"),
        ({"import": 3}, "import: give a file, hub:owner/name, a mapping"),
        ({"import": {"name": "a"}}, "give exactly one of `path`"),
        ({"import": {"path": "a", "colums": {}}}, r"unknown key 'import\.0\.colums'; did you mean 'columns'"),
        ({"import": ["a.jsonl", "b.jsonl"]}, "'imported' would be the name of two sorts of pairs"),
        ({"import": {"path": "a", "name": "clair"}, "recipes": ["clair"]}, "'clair' would be the name of two sorts"),
        ({"import": {"path": "a", "name": "a b"}}, r"import\.0\.name"),
        ({"import": "a.jsonl", "tasks": {"path": "b.jsonl"}}, "leave `tasks` out or add `recipes`"),
        ({"imports": "a.jsonl"}, "unknown key 'imports'; did you mean 'import'"),
        ({"recipes": [], "tasks": {"path": "a"}, "models": {}}, "a list with at least one recipe"),
        ({"recipes": ["clair"], "tasks": None, "models": {}}, "tasks: nothing is given"),
    ],
)
def test_a_mistake_about_imports_is_one_sentence(content: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(saved(tmp_path, content))


def test_rounds_make_their_own_pairs() -> None:
    config = parse_config(json.dumps(configuration("http://localhost:1/v1", **{"import": "pairs.jsonl"})))
    with pytest.raises(ConfigError, match="a configuration for them has no `import`"):
        with_one_recipe(config, None)
