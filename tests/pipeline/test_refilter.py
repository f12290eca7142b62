import os
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.options import Bounds
from clairgen.filters.pipeline import FilterPipeline
from clairgen.filters.registry import FILTERS, FILTERS_VERSION
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.refilter import filter_pairs
from clairgen.pipeline.reparse import reparse
from clairgen.records import Pair
from clairgen.store import RunDirectory, reading, writing
from clairgen.store.filter_sets import BOUNDED_VALUES
from clairgen.store.pair_rows import drop_reason
from tests.runs import TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

pytestmark = pytest.mark.slow


async def made(folder: Path, **changes: Any) -> Path:  # noqa: ANN401 - any part of a configuration
    tasks = write_tasks(folder / "tasks.jsonl", questions(6))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, **changes), folder / "run")
    return folder / "run"


async def test_a_new_filter_set_replaces_the_old_one_and_both_are_recorded(tmp_path: Path) -> None:
    run = await made(tmp_path)
    before = (await api.report(run))[0]
    assert (before.kept, dict(before.dropped)) == (6, {})
    assert await filter_pairs(run, FilterSettings.model_validate({"levenshtein": [100, None]})) == 2
    after = (await api.report(run))[0]
    assert (after.kept, dict(after.dropped)) == (0, {"levenshtein-below": 6})
    assert await filter_pairs(run, FilterSettings()) == 3
    assert (await api.report(run))[0].kept == 6
    async with reading(RunDirectory(run)) as store:
        assert (await store.filter_sets.in_force() or (0, ""))[0] == 3


async def test_marks_keep_a_pair_and_say_why(tmp_path: Path) -> None:
    run = await made(tmp_path)
    await filter_pairs(run, FilterSettings.model_validate({"levenshtein": {"bounds": [100, None], "action": "mark"}}))
    clair = (await api.report(run))[0]
    assert (clair.kept, dict(clair.marked)) == (6, {"levenshtein-below": 6})
    stored = (await api.find_pairs(run))[0]
    assert (stored.findings[0].filter, stored.findings[0].value) == ("levenshtein", 12)


async def test_length_ratio_drops_revisions_and_marks_other_pairs(tmp_path: Path) -> None:
    run = await made(tmp_path, filters={"length_ratio": [2, 3]})
    clair, stronger = await api.report(run)
    assert dict(clair.dropped) == {"length-ratio-below": 6}
    assert (stronger.kept, dict(stronger.marked)) == (6, {"length-ratio-below": 6})


async def test_another_tokenizer_measures_again(tmp_path: Path) -> None:
    run = await made(tmp_path)
    treebank, word = (await api.report(run))[0], (await api.report(run, tokenizer="word"))[0]
    assert (treebank.tokenizer, word.tokenizer) == ("treebank", "word")
    assert treebank.contrast_of_all.jaccard.mean != word.contrast_of_all.jaccard.mean
    assert treebank.contrast_of_all.levenshtein == word.contrast_of_all.levenshtein


async def test_reparse_reads_stored_answers_without_asking(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(4))

    def script(request: dict[str, Any]) -> Reply:
        return played(request) if request["model"] == TARGET else said("{corrected_student_solution}: a better answer")

    async with ScriptedEndpoint(script) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    async with writing(run) as store:  # as if an older parser had not understood the answers
        sql = "UPDATE pairs SET parser_version = 0, parse_status = 'no-solution-header'"
        await store.pairs._write((sql, ()), ("UPDATE pair_texts SET chosen = NULL", ()))
    done = await reparse(run.path)
    assert (done.read, done.changed, done.recovered) == (4, 4, 4)
    stored = (await api.find_pairs(run.path))[0]
    assert isinstance(stored.outcome, Pair)
    assert stored.outcome.chosen.text == "a better answer"
    assert (await reparse(run.path)).read == 0
    assert (await reparse(run.path, every=True)).changed == 0


async def test_export_refuses_pairs_that_the_filters_have_not_seen(tmp_path: Path) -> None:
    run = await made(tmp_path)
    async with writing(RunDirectory(run)) as store:
        await store.pairs._write(("UPDATE pairs SET filter_set = 0 WHERE position = 1", ()))
    try:
        await api.export(run, tmp_path / "out")
    except RunError as error:
        assert "2 pairs of" in str(error)
        assert f"run: clairgen filter {run}" in str(error)
    else:
        raise AssertionError("the export went through")
    assert not (tmp_path / "out").exists()


async def test_limit_means_the_first_tasks_of_the_run(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(6))
    async with ScriptedEndpoint(played) as endpoint:
        for _ in range(2):
            summary = await generate(config(endpoint.url, tasks), tmp_path / "run", Options(limit=2))
    assert summary.statuses == {"clair": {"made": 2, "pending": 4}, "stronger-preferred": {"made": 2, "pending": 4}}


class Meanwhile(os.PathLike[str]):
    """A path that is asked for its text while an export is under way, when findings that drop all pairs are committed."""

    def __init__(self, folder: Path, run: Path) -> None:
        self._folder = folder
        self._run = run

    def __fspath__(self) -> str:
        with sqlite3.connect(RunDirectory(self._run).database) as database:
            database.execute(
                "INSERT INTO filter_results SELECT filter_set, id, 9, 'format', 'drop', 'no', NULL FROM pairs"
            )
            database.execute("UPDATE pairs SET drop_reason = 'no'")
        database.close()
        return str(self._folder)


async def test_an_export_is_of_the_moment_when_it_began(tmp_path: Path) -> None:
    run = await made(tmp_path)
    summary = await api.export(run, Meanwhile(tmp_path / "out", run))  # type: ignore[arg-type]  # any path will do
    assert summary.row_count == 12
    assert [report.kept for report in await api.report(run)] == [0, 0]


async def test_what_this_version_of_the_filters_has_found_is_not_looked_for_again(tmp_path: Path) -> None:
    run = await made(tmp_path)
    other = FilterSettings.model_validate({"length_ratio": [0.1, 9.0]})
    with sqlite3.connect(run / "run.db") as database:  # what no filter would find
        (identity,) = database.execute("SELECT id FROM pairs WHERE recipe = 'clair' LIMIT 1").fetchone()
        found = (identity, 0, "refusal", "mark", "kept-from-before", None)
        database.execute("INSERT INTO filter_results VALUES (1, ?, ?, ?, ?, ?, ?)", found)
    database.close()
    await filter_pairs(run, other)
    assert (await api.filtered(run)).marked == {"clair": {"kept-from-before": 1}}
    with sqlite3.connect(run / "run.db") as database:
        database.execute("UPDATE meta SET value = '2:0' WHERE key = 'filters_version'")
    database.close()
    await filter_pairs(run, other)
    assert (await api.filtered(run)).marked == {}
    async with reading(RunDirectory(run)) as store:
        assert await store.pairs.uncovered(3) == 0


async def test_a_version_that_was_recorded_for_another_filter_set_says_nothing_of_this_one(tmp_path: Path) -> None:
    run = await made(tmp_path)
    async with reading(RunDirectory(run)) as store:
        assert await store.filter_sets.version(1) == FILTERS_VERSION
        assert await store.filter_sets.version(2) is None


def some_settings(chance: random.Random, values: Mapping[str, Sequence[float]]) -> FilterSettings:
    """Bounds on any of the metrics, often at a value that a pair has, and what else filters go by."""

    def bounds(name: str) -> dict[str, Any]:
        low, high = sorted(chance.sample(values[name], 2))
        ends = chance.choice([[low, high], [low, None], [None, high]])
        action: dict[str, Any] = chance.choice([{}, {"action": "mark"}, {"action": "off"}, {"action": "drop"}])
        return {"bounds": ends} | action

    def some() -> dict[str, Any]:
        named = chance.sample(sorted(values), chance.randint(0, 3))
        return {name: bounds(name) for name in named} | chance.choice(
            [{}, {"refusal": "drop"}, {"empty": "mark"}, {"length_difference": [-5, 5]}]
        )

    votes: dict[str, Any] = chance.choice(
        [{}, {"votes": {"action": "mark", "fewest": 2}}, {"votes": {"action": "drop"}}]
    )
    own: dict[str, Any] = chance.choice([{}, {"recipes": {"stronger-preferred": some()}}])
    return FilterSettings.model_validate(some() | votes | own)


def test_every_filter_that_reads_no_text_can_be_applied_in_sql() -> None:
    without_texts = [one for one in FILTERS.built_in.values() if one.reads_no_text]
    assert {one.name for one in without_texts if issubclass(one.options, Bounds)} == BOUNDED_VALUES.keys()
    assert all(one.undecided is None for one in without_texts)


async def test_findings_by_what_is_stored_are_those_of_each_pair_alone(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        number = int(request["messages"][-1]["content"].split("Question number ")[1].split()[0])
        return said("I cannot help with that.") if number % 3 == 0 and request["model"] == TARGET else played(request)

    tasks, run, chance = write_tasks(tmp_path / "tasks.jsonl", questions(12)), tmp_path / "run", random.Random(5)
    async with ScriptedEndpoint(script) as endpoint:
        await generate(config(endpoint.url, tasks), run)
    values: dict[str, list[float]] = {
        "jaccard": [0, 29, 58, 100],
        "levenshtein": [0, 7, 40],
        "length_ratio": [0.5, 1, 1.3, 2],
    }
    with closing(sqlite3.connect(run / "run.db")) as database, database:
        for (number,) in database.execute("SELECT number FROM pairs").fetchall():
            measures: list[float | None] = [
                chance.choice(values["jaccard"]) / 100,
                chance.choice(values["levenshtein"]),
            ]
            measures.append(chance.choice([None, *values["length_ratio"]]))
            sql = "UPDATE pairs SET jaccard = ?, levenshtein = ?, length_ratio = ? WHERE number = ?"
            database.execute(sql, (*measures, number))
        database.execute("UPDATE pairs SET parse_status = 'no-solution-header' WHERE number % 5 = 0")
        database.execute("UPDATE pair_texts SET chosen = NULL WHERE pair % 5 = 0")
        database.execute("DELETE FROM meta WHERE key = 'filters_version'")  # what was found is not of these pairs
        database.execute(
            "INSERT INTO votes (pair_id, voter, vote, created_at) SELECT pairs.id, voter.value, 'drop', '' "
            "FROM pairs, json_each('[\"Ada\", \"Bo\"]') voter WHERE number % 4 = 1 OR (number % 4 = 2 AND voter.value = 'Bo')"
        )
    quickly, before = Counter[bool](), None
    for _ in range(20):
        settings = some_settings(chance, values)
        number = await filter_pairs(run, settings)
        alone, reasons = FilterPipeline(settings), {}
        async with reading(RunDirectory(run)) as store:
            for recipe, plan in (await store.metadata.plans()).items():
                votes = await store.votes.by_pair()
                async for stored in store.pairs.made(recipe):
                    of_pair = tuple(votes.get(stored.id, {}).values())
                    findings = alone.apply(stored.outcome, stored.contrast, revises=plan.revises, votes=of_pair)
                    assert (stored.filter_set, stored.findings) == (number, findings)
                    reasons[stored.id] = drop_reason(findings)
                checks = FilterPipeline(settings, before).stored_checks(recipe, revises=plan.revises)
                quickly[before is not None and checks is not None] += 1
        with closing(sqlite3.connect(run / "run.db")) as database:
            assert dict(database.execute("SELECT id, drop_reason FROM pairs").fetchall()) == reasons
        before = settings
    assert min(quickly.values()) > 4
