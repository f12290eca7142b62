"""Near duplicates are decided by the order of tasks, in whatever order their pairs are made."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clairgen import api
from clairgen.errors import ConfigError, RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.refilter import filter_pairs, unsettle_run_filters
from clairgen.pipeline.reparse import reparse
from clairgen.store import RunDirectory, writing
from tests.runs import config, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint

STORY = "Write a short story about a lighthouse keeper who finds a message in a bottle after a long storm at sea."
LOOKED_FOR = {"near_duplicate": "mark"}
PROMPTS = [STORY, *questions(3), STORY + " Thanks!", STORY.upper() + " Please."]


async def marked(run: Path) -> dict[str, list[tuple[str, object]]]:
    """By recipe, the prompt's end and the prompt that each near duplicate names."""
    pairs = [pair for report in await api.report(run) for pair in await api.made_pairs(run, report.recipe)]
    prompts = {pair.task.id: pair.task.messages[-1].content for pair in pairs}
    found: dict[str, list[tuple[str, object]]] = {}
    for pair in pairs:
        for finding in pair.findings:
            if finding.filter == "near_duplicate":
                found.setdefault(pair.outcome.recipe, []).append((prompts[pair.task.id], prompts[str(finding.value)]))
    return found


EXPECTED = {recipe: [(prompt, STORY) for prompt in PROMPTS[4:]] for recipe in ("clair", "stronger-preferred")}


@pytest.mark.slow
async def test_a_run_ends_with_its_near_duplicates_marked_however_often_it_was_interrupted(tmp_path: Path) -> None:
    run, tasks = tmp_path / "run", write_tasks(tmp_path / "tasks.jsonl", PROMPTS)
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, filters=LOOKED_FOR), run, Options(limit=5))
        assert await marked(run) == {recipe: found[:1] for recipe, found in EXPECTED.items()}
        await generate(config(endpoint.url, tasks, filters=LOOKED_FOR), run)
    assert await marked(run) == EXPECTED
    clair = (await api.report(run))[0]
    assert (clair.kept, dict(clair.marked)["near-duplicate-prompt"]) == (6, 2)


@pytest.mark.slow
async def test_filter_and_reparse_keep_them(tmp_path: Path) -> None:
    run, tasks = tmp_path / "run", write_tasks(tmp_path / "tasks.jsonl", PROMPTS)
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, filters=LOOKED_FOR), run)
    await reparse(run, every=True)
    assert await marked(run) == EXPECTED
    await filter_pairs(run, FilterSettings.model_validate({"near_duplicate": "drop"}))
    assert await marked(run) == EXPECTED
    assert dict((await api.report(run))[0].dropped) == {"near-duplicate-prompt": 2}
    await filter_pairs(run, FilterSettings.model_validate({"near_duplicate": "off"}))
    assert await marked(run) == {}


async def test_an_absent_evaluation_file_stops_before_anything_is_asked(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", PROMPTS)
    filters = {"contamination": {"files": [str(tmp_path / "absent.jsonl")]}}
    async with ScriptedEndpoint(played) as endpoint:
        with pytest.raises(ConfigError, match="there is no evaluation file"):
            await generate(config(endpoint.url, tasks, filters=filters), tmp_path / "run")
        assert not endpoint.asked


@pytest.mark.slow
async def test_a_killed_run_is_not_exported_before_its_near_duplicates_are_found(tmp_path: Path) -> None:
    run, tasks = tmp_path / "run", write_tasks(tmp_path / "tasks.jsonl", PROMPTS)
    looked_for = {"near_duplicate": "drop"}
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, filters=looked_for), run, Options(limit=3))
        async with writing(RunDirectory(run)) as store:  # as a kill in the middle leaves it
            await unsettle_run_filters(store, FilterSettings.model_validate(looked_for))
        with pytest.raises(
            RunError, match="have not been compared with each other, as a filter such as near_duplicate needs"
        ):
            await api.export(run, tmp_path / "out")
        await generate(config(endpoint.url, tasks, filters=looked_for), run)
    assert (await api.export(run, tmp_path / "out")).row_count == 8


@pytest.mark.slow
async def test_a_reparse_that_was_broken_off_is_not_exported_before_its_near_duplicates_are_found(
    tmp_path: Path,
) -> None:
    run, tasks = tmp_path / "run", write_tasks(tmp_path / "tasks.jsonl", PROMPTS)
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, filters={"near_duplicate": "drop"}), run)
    with closing(sqlite3.connect(run / "run.db")) as database:
        [(whole,)] = database.execute("SELECT messages FROM tasks WHERE position = 6").fetchall()
        database.execute("UPDATE tasks SET messages = 'torn' WHERE position = 6")
        database.commit()
        with pytest.raises(KeyError):  # the last task is gone
            await reparse(run, every=True)
        database.execute("UPDATE tasks SET messages = ? WHERE position = 6", (whole,))
        database.commit()
    with pytest.raises(RunError, match="have not been compared with each other"):
        await api.export(run, tmp_path / "out")
    await reparse(run, every=True)
    assert (await api.export(run, tmp_path / "out")).row_count == 8
