"""Shards in a folder that are read as one run: exported, linted and shown, without being merged."""

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.api.run_status import shards_status
from clairgen.errors import InputError, RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.pipeline.filter_shards import filter_shards
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.merge_shards import merge_shards
from clairgen.pipeline.refilter import filter_pairs
from clairgen.pipeline.run_shard import settle_shard
from clairgen.reporting.lint.lint_pairs import lint
from clairgen.store import RunDirectory, Vote, folder_of, shard_folder, writing
from clairgen.task_shard import TaskShard, shards_named
from tests.cli.commands import clairgen
from tests.pipeline.test_cut_prompts_dropped import cutting
from tests.pipeline.test_shards import answered
from tests.runs import config, questions, write_tasks
from tests.scripted import ScriptedEndpoint

SHARDS = 3
ALIKE = [
    "Please write one short story about the old lighthouse keeper who lost his lamp in the storm and found it again on the "
    f"beach many years later, when nobody needed it any more, in {number} words"
    for number in (100, 200, 300, 400)
]
"""Prompts that are near duplicates of each other and fall into several shards."""
ROWS: list[Any] = [*questions(9), *ALIKE, "Refused, whatever the model", {"prompt": ""}, *questions(14)[9:]]


def runs(folder: Path) -> list[Path]:
    """The run directories in a folder."""
    return sorted(folder.iterdir())


async def made(folder: Path, **changes: Any) -> tuple[Path, Path]:  # noqa: ANN401 - any part of a configuration
    """A folder of shards, and the run that they are merged into."""
    async with ScriptedEndpoint(answered) as endpoint:
        settings = config(endpoint.url, write_tasks(folder / "tasks.jsonl", ROWS), **changes)
        for number in range(1, SHARDS + 1):
            options = Options(shard=TaskShard(number, SHARDS), skip_bad_lines=True)
            await generate(settings, folder / "shards" / str(number), options)
    return folder / "shards", folder / "merged"


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture
async def shards(_template: Path, tmp_path: Path) -> Path:
    """Shards whose filter of near duplicates drops pairs, made once."""
    if not (_template / "shards").exists():
        await made(_template, filters={"near_duplicate": {"action": "drop"}})
    return Path(shutil.copytree(_template / "shards", tmp_path / "shards"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"matched": True, "test_fraction": 0.3},
        {"keep_identical": True, "export_format": "kto"},
        {"export_format": "sdpo"},
        {"export_format": "tpo", "reference": "stronger-preferred", "thinking": "keep"},
    ],
)
async def test_an_export_of_a_folder_has_the_rows_of_the_merged_run(
    options: dict[str, Any], shards: Path, tmp_path: Path
) -> None:
    summary = await api.export(shards, tmp_path / "of-folder", **options)
    await merge_shards([shards], tmp_path / "merged")
    expected = await api.export(tmp_path / "merged", tmp_path / "of-merged", **options)
    assert summary == expected
    assert summary.skipped["near-duplicate-prompt"] > 0
    card, expected_card = ((tmp_path / name / "README.md").read_text() for name in ("of-folder", "of-merged"))
    assert card == expected_card
    for file in sorted(
        path.relative_to(tmp_path / "of-merged") for path in (tmp_path / "of-merged").rglob("*.parquet")
    ):
        assert (tmp_path / "of-folder" / file).read_bytes() == (tmp_path / "of-merged" / file).read_bytes()


async def test_near_duplicates_are_found_across_shards(shards: Path, tmp_path: Path) -> None:
    alone = [await api.export(path, tmp_path / path.name) for path in runs(shards)]
    together = await api.export(shards, tmp_path / "all")
    within = sum(one.skipped.get("near-duplicate-prompt", 0) for one in alone)
    assert together.skipped["near-duplicate-prompt"] == 2 * (len(ALIKE) - 1) > within


async def test_votes_and_edits_of_all_shards_are_exported(shards: Path, tmp_path: Path) -> None:
    first, second = runs(shards)[:2]
    for number, run in enumerate((second, first, second)):
        pair = (await api.made_pairs(run, "clair"))[number]
        await api.cast_vote(run, pair.id, Vote.KEEP, "ada")
        await api.revise(
            run, pair.id, f"{pair.task.messages[-1].content} is a question, better answered {number}", "ada"
        )
    summary = await api.export(shards, tmp_path / "of-folder", votes=True)
    await merge_shards([shards], tmp_path / "merged")
    assert summary == await api.export(tmp_path / "merged", tmp_path / "of-merged", votes=True)
    assert summary.rows["human-revision"]["train"] == 3
    for name in ("votes.jsonl", "revisions.jsonl"):
        assert (tmp_path / "of-folder" / name).read_text() == (tmp_path / "of-merged" / name).read_text()


async def test_a_report_has_what_only_one_shard_has(shards: Path) -> None:
    second = runs(shards)[1]
    pair = (await api.made_pairs(second, "clair"))[0]
    await api.revise(second, pair.id, "A better answer.", "ada")
    assert {report.recipe: report.n for report in await api.report(shards)}["human-revision"] == 1


async def test_a_shard_that_has_not_begun_is_in_status_and_report_and_not_exported(
    shards: Path, tmp_path: Path
) -> None:
    shutil.rmtree(shards / "2")
    directory = RunDirectory(shards / "2")
    directory.create()
    async with writing(directory) as store:
        await settle_shard(store, TaskShard(2, SHARDS))
    found = await shards_status(shards)
    assert ([one.tasks > 0 for one in found.shards], found.missing) == ([True, False, True], ())
    told: list[object] = []
    assert (await api.report(shards, tell=told.append))[0].n > 0
    assert "without" not in str(told)
    with pytest.raises(RunError, match="2 has not read all its tasks"):
        await api.export(shards, tmp_path / "out")


def test_of_many_missing_shards_ten_are_named() -> None:
    missing = folder_of(Path("runs"), [(Path("runs/3"), TaskShard(3, 1000))]).missing
    assert (len(missing), missing[0]) == (999, TaskShard(1, 1000))
    assert shards_named(missing[:2]) == "1/1000, 2/1000"
    assert shards_named(missing).endswith(", 11/1000 and 989 more")


async def test_lint_of_a_folder_finds_what_it_finds_in_the_merged_run(shards: Path, tmp_path: Path) -> None:
    found = await lint(shards, recipe="clair")
    await merge_shards([shards], tmp_path / "merged")
    expected = await lint(tmp_path / "merged", recipe="clair")
    assert found.parts[0].understood == f"{expected.parts[0].understood}; all 3 shards"
    assert replace(found, parts=()) == replace(expected, parts=())
    shutil.rmtree(shards / "2")
    assert (
        (await lint(shards, recipe="clair")).parts[0].understood.endswith(f"; 2 shards, without 2/3, not in {shards}")
    )


async def test_a_pair_is_shown_wherever_it_is(shards: Path) -> None:
    pairs = [stored for run in runs(shards) for stored in await api.made_pairs(run, "clair")]
    for stored in (pairs[0], pairs[-1]):
        shown = await clairgen("show", shards, "--pair", stored.id)
        assert (shown.code, stored.task.messages[0].content[:30] in shown.out) == (0, True)
    numbered = [await clairgen("show", shards, "--recipe", "clair", "--number", str(n)) for n in (1, len(pairs))]
    assert [f"Pair {n:,} of {len(pairs):,}." in one.out for n, one in zip((1, len(pairs)), numbered, strict=True)] == [
        True
    ] * 2
    assert f"clairgen show {shards} --recipe clair --number 2" in numbered[0].out
    beyond = await clairgen("show", shards, "--number", "999")
    assert (beyond.code, f"{shards} has no pair number 999" in beyond.err) == (2, True)
    assert (await clairgen("show", shards, "--pair", "nobody")).code == 2
    refused = await clairgen("show", shards, "--dropped", "no such reason")
    assert "no such pair" in refused.err


async def test_missing_shards_are_said(shards: Path, tmp_path: Path) -> None:
    shutil.rmtree(shards / "2")
    done = await clairgen("export", shards, tmp_path / "out")
    assert done.code == 0
    assert "Not in the folder: shard 2/3, whose pairs are lacking." in done.out
    assert "Shards of the run that were not there: 2/3." in (tmp_path / "out" / "README.md").read_text()


async def test_what_is_no_folder_of_one_runs_shards_is_refused(shards: Path, tmp_path: Path) -> None:
    async def refused(message: str) -> None:
        for read in (api.export(shards, tmp_path / "out"), lint(shards, recipe="clair"), api.report(shards)):
            with pytest.raises(RunError, match=message):
                await read

    shutil.copytree(shards / "1", shards / "again")
    await refused("1 and .*again are both shard 1/3; take one of them out")
    assert "are both shard 1/3" in (await clairgen("show", shards)).err
    shutil.rmtree(shards / "again")
    async with ScriptedEndpoint(answered) as endpoint:
        tasks = tmp_path / "tasks.jsonl"
        for name, rows, of, changes, message in (
            ("whole", ROWS, None, {}, "whole is no shard, but a run of its own"),
            ("of-two", ROWS, TaskShard(1, 2), {}, "has shards of 2 and of 3"),
            ("tasks", [*ROWS, "One more?"], TaskShard(2, 3), {}, "tasks has other tasks than"),
            ("plans", ROWS, TaskShard(2, 3), {"target": {"max_tokens": 50}}, "plans was made by other plans than"),
        ):
            settings = config(endpoint.url, write_tasks(tasks, rows), **changes)
            shutil.move(shards / "2", tmp_path / "second")
            await generate(settings, shards / name, Options(shard=of, skip_bad_lines=True))
            await refused(message)
            shutil.rmtree(shards / name)
            shutil.move(tmp_path / "second", shards / "2")
    await filter_pairs(shards / "2", FilterSettings({"length_ratio": {"action": "off"}}))
    await refused(
        "2 has other filters in force than .*; apply the same to both with clairgen filter, or merge the shards"
    )


async def test_shards_that_have_no_pair_yet_and_unknown_recipes(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no recipe 'nothing'"):
        await api.export(shards, tmp_path / "out", recipes=["nothing"])


async def test_filters_of_single_pairs_find_in_each_shard_what_they_find_in_the_merged_run(
    shards: Path, tmp_path: Path
) -> None:
    second = runs(shards)[1]
    await api.cast_vote(second, (await api.made_pairs(second, "clair"))[0].id, Vote.DROP, "ada")
    await merge_shards([shards], tmp_path / "merged")
    outputs = []
    for run in (shards, tmp_path / "merged"):
        await clairgen("filter", run, "--off", "near_duplicate", "--votes", "drop")
        outputs.append((await clairgen("filter", run, "--length-ratio", "1.1:", "--recipe", "clair")).out)
    first_line, _, of_folder = outputs[0].partition("\n")
    assert (first_line, of_folder) == (f"Filtered the pairs of {SHARDS} shards, each by itself.", outputs[1])
    assert "clair: 13 of 18 pairs kept, 5 dropped (4 length-ratio-below, 1 voted-drop)" in of_folder
    findings = {stored.id: stored.findings for run in runs(shards) for stored in await api.made_pairs(run, "clair")}
    assert findings == {stored.id: stored.findings for stored in await api.made_pairs(tmp_path / "merged", "clair")}


async def test_a_folder_is_not_filtered_by_what_only_the_merged_run_can_say(shards: Path) -> None:
    before = [await api.filtered(run) for run in runs(shards)]
    refused = await clairgen("filter", shards, "--jaccard", "20:")
    assert refused.code == 2
    assert "near_duplicate would have to compare pairs of all shards with each other" in refused.err
    assert f"clairgen merge {shards} --run RUN (or filter without it: --off near_duplicate)" in refused.err
    of_recipe = FilterSettings.model_validate({"recipes": {"clair": {"near_duplicate": "drop"}}})
    with pytest.raises(RunError, match=r"--run RUN$"):  # to switch it off would not switch it off there
        await filter_shards(await shard_folder(shards), of_recipe, tell=lambda _: None)
    with RunDirectory(shards / "3").locked():
        busy = await clairgen("filter", shards, "--off", "near_duplicate")
    assert (busy.code, "3 is in use by" in busy.err) == (2, True)
    assert [await api.filtered(run) for run in runs(shards)] == before


async def test_a_folder_of_more_shards_than_there_are_open_files_for_is_filtered(shards: Path) -> None:
    folder = await shard_folder(shards)
    settings = FilterSettings.model_validate({"near_duplicate": "off", "jaccard": [20, None]})
    with few_open_files(6):
        await filter_shards(folder, settings, tell=lambda _: None)
    assert (await api.filters_in_force(shards / "3")) == settings


@contextmanager
def few_open_files(free: int) -> Iterator[None]:
    """No more files than these can be opened, unless the process raises its limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(free):
            os.close(taken.pop())
        yield
    finally:
        for file in taken:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_filter_of_a_folder_that_was_killed_is_run_again(shards: Path) -> None:
    """The first shard is filtered first, and its filters are what a command changes."""
    shutil.rmtree(shards / "2")
    await clairgen("filter", shards / "1", "--off", "near_duplicate", "--jaccard", "20:")
    again = await clairgen("filter", shards, "--off", "near_duplicate", "--jaccard", "20:")
    assert again.code == 0
    assert f"1 shard had other filters than {shards / '1'}" in again.err
    assert f"{shards} is without 1 shard: 2/3; filter again once it is there" in again.err
    first, second = [await api.filters_in_force(run) for run in runs(shards)]
    assert first == second
    await api.report(shards)


async def test_a_folder_is_not_filtered_where_a_server_may_have_cut_a_prompt(tmp_path: Path) -> None:
    rows = [{"id": f"t{n}", "prompt": f"{n}: Summarize. " + "France has a capital. " * (200 + n)} for n in range(4)]
    async with ScriptedEndpoint(cutting) as endpoint:
        settings = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", rows), recipes=["clair"])
        for number in (1, 2):
            await generate(settings, tmp_path / "shards" / str(number), Options(shard=TaskShard(number, 2)))
    refused = await clairgen("filter", tmp_path / "shards", "--jaccard", "20:")
    assert (refused.code, "the server of the target may have cut the prompt of the pair" in refused.err) == (2, True)
    assert (await clairgen("filter", tmp_path / "shards", "--off", "cut_prompt")).code == 0
