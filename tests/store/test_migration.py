"""A run of schema 2, from before the field's names, brought up to date: nothing is lost, and nothing is requested again."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from clairgen import api
from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.errors import RunError
from clairgen.keys import pair_id
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.reparse import reparse
from clairgen.records import FilterAction, Finding, Pair, ParseStatus, Undecided, Variant
from clairgen.store import RunDirectory, migrate, reading, writing
from clairgen.store.schema import VERSION
from tests.scripted import Reply, ScriptedEndpoint, said

OLD = Path(__file__).parent / "schema_2"
RECIPES = ["clair", "degraded", "judge-off-policy", "judge-on-policy", "stronger-preferred"]


@pytest.fixture
def old_run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    with closing(sqlite3.connect(run.database)) as database:
        database.executescript((OLD / "run.sql").read_text(encoding="utf-8"))
    return run


@pytest.fixture
async def migrated(old_run: RunDirectory) -> RunDirectory:
    assert await migrate(old_run.path) == (2, VERSION)
    return old_run


async def configuration(run: RunDirectory, url: str) -> RunConfig:
    """The run's own, at another endpoint and with its tasks where they are now."""
    async with reading(run) as store:
        content = yaml.safe_load(await store.metadata.configuration() or "")
    for role in content["models"].values():
        role["endpoints"] = [url]
    content["tasks"]["path"] = str(OLD / "tasks.jsonl")
    assert content["recipes"][-1] == {"name": "worsened"}
    return parse_config(yaml.safe_dump(content))


def never(request: dict[str, Any]) -> Reply:
    raise AssertionError(f"a model was asked again: {request}")


def rows(run: RunDirectory, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run.database)) as database:
        return database.execute(sql).fetchall()


def columns(run: RunDirectory) -> dict[str, set[tuple[str, str, int]]]:
    """Name, type and place in the primary key of every column, by table."""
    with closing(sqlite3.connect(run.database)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {
            table: {(row[1], row[2], row[5]) for row in database.execute(f"PRAGMA table_info({table})")}
            for table in tables
        }


def shared(now: Any, before: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - any JSON value
    """What stands at the same path in two JSON values, for every path of the older one."""
    if isinstance(before, dict):
        for key, value in before.items():
            yield from shared(now[key], value)
    elif isinstance(before, list):
        assert len(now) == len(before)
        for new, old in zip(now, before, strict=True):
            yield from shared(new, old)
    else:
        yield now, before


async def test_an_old_run_is_read_only_once_it_is_migrated(old_run: RunDirectory) -> None:
    with pytest.raises(RunError, match="older version; bring it up to date with: clairgen migrate"):
        await api.report(old_run.path)
    assert await migrate(old_run.path) == (2, VERSION)
    assert await migrate(old_run.path) == (VERSION, VERSION)


async def test_a_migrated_run_has_the_schema_of_a_new_one(tmp_path: Path, migrated: RunDirectory) -> None:
    new = RunDirectory(tmp_path / "new")
    new.create()
    async with writing(new):
        pass
    assert columns(migrated) == columns(new)


async def test_the_report_is_that_of_the_version_that_made_the_run(migrated: RunDirectory) -> None:
    before = json.loads((OLD / "report.json").read_text(encoding="utf-8"))
    now = {report.recipe: report.to_json() for report in await api.report(migrated.path)}
    assert sorted(now) == RECIPES
    for old in before:
        new = now["degraded" if old["recipe"] == "worsened" else old["recipe"]]
        del old["run"], old["recipe"]
        # How a judge leans is said in other words now.
        old["judges"] = [{key: value for key, value in judge.items() if key != "leaning"} for judge in old["judges"]]
        for ours, theirs in shared(new, old):
            assert ours == (pytest.approx(theirs) if isinstance(theirs, float) else theirs)


@pytest.mark.slow
async def test_the_export_has_the_rows_of_the_version_that_made_the_run(tmp_path: Path, migrated: RunDirectory) -> None:
    exported = await api.export(migrated.path, tmp_path / "out")
    kept = {"clair": 2, "degraded": 4, "judge-off-policy": 3, "judge-on-policy": 2, "stronger-preferred": 4}
    assert exported.rows == {recipe: {"train": count} for recipe, count in kept.items()}
    reasons = {"unclosed-thinking": 2, "declared-tie": 2, "tie-between-orders": 2}
    assert exported.skipped == reasons | {"no-solution-header": 1, "chosen-truncated": 1}


@pytest.mark.slow
async def test_generate_goes_on_and_asks_nothing_again(migrated: RunDirectory) -> None:
    async with ScriptedEndpoint(never) as endpoint:
        progress = Progress()
        summary = await generate(await configuration(migrated, endpoint.url), migrated.path, progress=progress)
        assert endpoint.asked == []
    failed = {"made": 4, "failed": 1}
    assert summary.statuses == {recipe: {"made": 5} for recipe in RECIPES} | {
        "degraded": failed,
        "stronger-preferred": failed,
    }
    # No renamed word looks like a change: only the endpoints are others, and there are filters that the old version did not have.
    notes = [note for note in progress.notes if not note.startswith("filters.")]
    assert all(".endpoints: " in note for note in notes), notes


async def test_failed_pairs_are_tried_again_under_the_recipe_s_new_name(migrated: RunDirectory) -> None:
    async with ScriptedEndpoint(lambda _: said("There is much to be said.")) as endpoint:
        given = await configuration(migrated, endpoint.url)
        summary = await generate(given, migrated.path, Options(retry_failed=True))
        assert Counter(request["model"] for request in endpoint.asked) == {"stronger-model": 1, "reviser-model": 1}
    assert summary.statuses == {recipe: {"made": 5} for recipe in RECIPES}
    assert rows(migrated, "SELECT * FROM failures") == []


async def test_reparsing_changes_nothing(migrated: RunDirectory) -> None:
    done = await reparse(migrated.path, every=True)
    assert (done.read, done.changed, done.recovered) == (15, 0, 0)


async def test_undecided_outcomes_are_read_as_what_they_were_about(migrated: RunDirectory) -> None:
    outcomes = {
        (recipe, stored.task.id): stored.outcome
        for recipe in RECIPES
        for stored in await api.made_pairs(migrated.path, recipe)
    }
    undecided = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Undecided)}
    assert len(undecided) == 8
    for (recipe, _), outcome in undecided.items():
        assert len(outcome.answers) == (1 if recipe == "clair" else 2)
        assert (outcome.unparsed is not None) == (recipe == "clair")
    revision, judged = undecided["clair", "task-5"], undecided["judge-off-policy", "task-4"]
    assert revision.reason is judged.reason is ParseStatus.UNCLOSED_THINKING
    assert revision.unparsed is not None
    assert revision.unparsed.text == "<think> I cannot"
    assert {answer.text for answer in judged.answers} == {"short 4", "a little longer 4"}
    lengthened = outcomes["clair", "task-4"]
    assert (lengthened.retried, lengthened.failed_check) == (True, "length-ratio")


async def test_a_degraded_pair_keeps_its_requests_findings_and_advice(migrated: RunDirectory) -> None:
    pairs = {stored.task.id: stored for stored in await api.made_pairs(migrated.path, "degraded")}
    assert {task: stored.id for task, stored in pairs.items()} == {task: pair_id(task, "degraded") for task in pairs}
    assert Counter(stored.objective for stored in pairs.values()) == {Variant.APO_ZERO: 2, None: 2}
    for stored in pairs.values():
        assert isinstance(stored.outcome, Pair)
        assert stored.outcome.chosen.key
        assert stored.outcome.rejected.text == stored.outcome.chosen.text.replace("many", "some")
    of_no_pair = "(SELECT count(*) FROM {} WHERE pair_id NOT IN (SELECT id FROM pairs))"
    tables = ("pair_requests", "failures", "filter_results", "advice", "votes")
    assert rows(migrated, f"SELECT {', '.join(map(of_no_pair.format, tables))}") == [(0,) * len(tables)]
    named = "SELECT recipe FROM pairs UNION SELECT recipe FROM plans UNION SELECT recipe FROM failures"
    assert [row[0] for row in rows(migrated, f"{named} ORDER BY recipe")] == RECIPES


async def test_findings_of_a_renamed_filter_have_its_new_name_and_reason(old_run: RunDirectory) -> None:
    with closing(sqlite3.connect(old_run.database)) as database:
        [(identity,)] = database.execute(
            "SELECT id FROM pairs WHERE recipe = 'clair' AND task_id = 'task-1'"
        ).fetchall()
        database.execute(
            "INSERT INTO filter_results VALUES (2, ?, 9, 'allusion', 'mark', 'alludes-to-revision', 'the revised answer')",
            (identity,),
        )
        database.commit()
    await migrate(old_run.path)
    [stored] = await api.find_pairs(old_run.path, identity)
    assert stored.findings[-1] == Finding(
        "revision_mention", FilterAction.MARK, "mentions-revision", "the revised answer"
    )
