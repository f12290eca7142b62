"""The figures of pairs in columns follow the run, and reports by them are those of the pairs."""

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from clairgen import api
from clairgen.api.reported_parts import reported_parts
from clairgen.errors import StoreError
from clairgen.folder_lock import locked_folder
from clairgen.keys import pair_id
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.refilter import filter_pairs
from clairgen.records import Pair, StoredPair
from clairgen.reporting.html.pairs_page import PairSample
from clairgen.reporting.pair_metrics import SCALES
from clairgen.store import RunDirectory, SegmentFigures, SegmentFolder, figures_connection, reading, writing
from clairgen.store.segment_manifest import Manifest, Segment
from clairgen.task_shard import TaskShard
from tests.reporting.from_columns import nearly, reports_from_columns
from tests.runs import REVISER, TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

ROWS = 7


def unevenly(request: dict[str, Any]) -> Reply:
    """Refusals, revisions that say nothing new, and replies without a revision."""
    number = int(request["messages"][-1]["content"].split("Question number ")[1].split()[0])
    if request["model"] == TARGET and number % 4 == 0:
        return said(f"I cannot help with Question number {number} at all")
    if request["model"] == REVISER and number % 5 == 0:
        return said("There is nothing to revise.")
    return played(request)


async def made(folder: Path, count: int = 30, *, limit: int | None = None) -> Path:
    """A run of two recipes with drops, marks and pairs that nobody could decide."""
    tasks = write_tasks(folder / "tasks.jsonl", questions(count))
    filters = {"refusal": "drop", "length_ratio": {"bounds": [None, 1.1], "action": "mark"}}
    async with ScriptedEndpoint(unevenly) as endpoint:
        await generate(config(endpoint.url, tasks, filters=filters), folder / "run", Options(limit=limit))
    return folder / "run"


async def segments(run: Path) -> SegmentFolder:
    """The segments of a run, brought up to date."""
    directory = RunDirectory(run)
    async with (
        reading(directory, snapshot=True) as store,
        store.segments.updated(directory, store.pairs.cost_usd, ROWS) as found,
    ):
        assert found is not None
        return found


async def require_same_reports(run: Path) -> None:
    """That reports by columns are those by pairs."""
    by_pairs = [replace(report, run="") for report in await api.report(run)]
    by_columns = await reports_from_columns([run], ROWS)
    assert nearly([one.to_json() for one in by_columns]) == nearly([one.to_json() for one in by_pairs])
    assert [one.histograms for one in by_columns] == [one.histograms for one in by_pairs]


async def test_reports_by_columns_are_those_by_pairs(tmp_path: Path) -> None:
    folder = tmp_path / "lost_by=1 [a]*?"  # no pattern, and no partition
    folder.mkdir()
    run = await made(folder)
    await require_same_reports(run)
    [clair, other] = await api.report(run)
    assert clair.marked
    assert set(clair.dropped) == {"chosen-refuses", "no-solution-header"}
    assert clair.audit is not None
    assert clair.cost_usd
    found = await segments(run)
    assert [one.rows for one in found.segments] == [7, 7, 7, 7, 2] * 2
    assert found.costs == {"clair": clair.cost_usd, "stronger-preferred": other.cost_usd}


async def test_a_page_has_the_same_sample_of_pairs_whether_all_are_read_or_those_of_a_few_tasks(tmp_path: Path) -> None:
    run = await made(tmp_path)
    of_all, of_few = PairSample("", "", 5), PairSample("", "", 5)
    for recipe in ("clair", "stronger-preferred"):
        for stored in await api.made_pairs(run, recipe):
            of_all.add(stored)
    given: list[StoredPair] = []
    await reports_from_columns([run], ROWS, given.append, 5)
    for stored in given:
        of_few.add(stored)
    assert len(given) == 10
    assert of_few.rows() == of_all.rows()


async def test_only_segments_with_changed_pairs_are_written_again(tmp_path: Path) -> None:
    run = await made(tmp_path, limit=10)
    before = await segments(run)
    assert [one.rows for one in before.segments] == [7, 3] * 2
    assert await segments(run) == before
    await made(tmp_path)
    grown = await segments(run)
    assert [one.rows for one in grown.segments] == [7, 7, 7, 7, 2] * 2
    assert grown.segments[0] == before.segments[0]
    assert grown.segments[1].file != before.segments[1].file
    async with writing(RunDirectory(run)) as store:
        changed = [stored async for stored in store.pairs.made("clair")][9]
        await store.pairs.save_findings(changed.id, (), 1)
        contrast = "UPDATE pairs SET levenshtein = 1000 WHERE id = ?"
        await store.pairs._write((contrast, (changed.id,)))
    after = await segments(run)
    assert [one for one in grown.segments if one not in after.segments] == [grown.segments[1]]
    assert {path.name for path in run.glob("metrics/*.parquet")} == {one.file for one in after.segments}
    await require_same_reports(run)


async def test_segments_are_those_of_the_filters_in_force_and_of_the_pairs_that_are_there(tmp_path: Path) -> None:
    run = await made(tmp_path, 12)
    before = await segments(run)
    settings = await api.filters_in_force(run)
    assert settings is not None
    await filter_pairs(run, settings.changed({"levenshtein": {"bounds": [20, None]}}))
    assert not {one.file for one in before.segments} & {one.file for one in (await segments(run)).segments}
    await require_same_reports(run)
    with closing(sqlite3.connect(run / "run.db")) as database, database:
        database.execute("DELETE FROM pairs WHERE recipe = 'clair' AND position < 9")
    assert sum(one.rows for one in (await segments(run)).segments if one.recipe == "clair") == 4
    await require_same_reports(run)


async def test_what_is_missing_or_of_another_moment_is_written_again(tmp_path: Path) -> None:
    run = await made(tmp_path, 12)
    first = await segments(run)
    shutil.copytree(run, tmp_path / "copy")
    (run / "metrics" / first.segments[0].file).unlink()
    assert (await segments(run)).segments != first.segments
    await require_same_reports(run)
    (run / "metrics" / "manifest.json").write_text("{")
    await require_same_reports(run)
    manifest = run / "metrics" / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"change": content["change"] + 5}))  # of a run that was restored
    await segments(run)
    assert json.loads(manifest.read_text())["change"] == content["change"]
    file = run / "metrics" / (await segments(run)).segments[0].file
    file.write_bytes(file.read_bytes()[:-100])  # cut
    await require_same_reports(run)
    assert not file.exists()
    [one, other, *_] = [run / "metrics" / segment.file for segment in (await segments(run)).segments]
    one.write_bytes(other.read_bytes())  # of other pairs
    await require_same_reports(run)
    file = run / "metrics" / (await segments(run)).segments[0].file
    content = file.read_bytes()
    file.write_bytes(b"damaged".ljust(len(content)))
    assert (
        (await segments(run)).note
        == f"the columns in {run}/metrics did not agree with the run ({file.name} is damaged), and "
        "were written again"
    )
    file = run / "metrics" / (await segments(run)).segments[0].file
    content = file.read_bytes()
    description = int.from_bytes(content[-8:-4], "little") + 8  # of the file, at its end
    file.write_bytes(b"PAR1".ljust(len(content) - description) + content[-description:])
    with pytest.raises(StoreError, match=rf"{run}/metrics cannot be read .*; delete that folder, and they are written"):
        await reports_from_columns([tmp_path / "copy", run], ROWS)
    shutil.rmtree(run / "metrics")
    await require_same_reports(run)


async def test_columns_that_do_not_agree_with_the_run_are_written_again_with_a_note(tmp_path: Path) -> None:
    run = await made(tmp_path, 12)
    folder, known = run / "metrics", await segments(run)
    assert known.note is None
    right = Manifest.read(folder)
    assert right is not None
    first, second, *rest = right.segments
    table = pq.read_table(folder / first.file)
    at = table.column_names.index("position")
    moved = table.set_column(at, "position", pc.add(table.column(at), first.last))
    lies: list[tuple[Callable[[], Manifest], str]] = [
        (lambda: replace(right, segments=(replace(first, rows=first.rows - 1), second, *rest)), "pairs"),
        (lambda: replace(right, segments=(replace(first, last=first.last - 1), second, *rest)), "pairs"),
        (lambda: replace(right, segments=(first, *rest)), "pairs"),
        (lambda: replace(right, segments=tuple(one for one in right.segments if one.recipe != first.recipe)), "pairs"),
        (lambda: replace(right, segments=(other(table.slice(1)), second, *rest)), "another number of pairs"),
        (lambda: replace(right, segments=(other(table.drop_columns("drawn")), second, *rest)), "other columns"),
        (lambda: replace(right, segments=(other(moved), second, *rest)), "other pairs"),
    ]

    def other(content: pa.Table) -> Segment:
        pq.write_table(content, folder / first.file, compression="zstd")
        return replace(first, bytes=(folder / first.file).stat().st_size)

    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    for lie, reason in lies:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        lie().write(folder)
        found = await segments(run)
        assert found.note is not None and reason in found.note
        assert [one.rows for one in found.segments] == [one.rows for one in known.segments]
        assert (await segments(run)).note is None
    await require_same_reports(run)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"costs": {"clair": 100.0}}))
    said: list[str] = []
    async with reported_parts(run, reads_columns=True, tell=said.append, fewest_pairs=1):
        pass
    assert said == [
        f"the columns in {folder} did not agree with the run (manifest.json is damaged or was changed), and were written again"
    ]


async def test_a_manifest_that_says_nonsense_is_written_again_and_what_a_killed_report_left_is_removed(
    tmp_path: Path,
) -> None:
    run = await made(tmp_path, 12)
    manifest, known = run / "metrics" / "manifest.json", await segments(run)
    content = json.loads(manifest.read_text())
    [first, *rest] = content["segments"]
    changes: list[dict[str, Any]] = [
        {"change": "7"},
        {"change": 2**70},
        {"costs": []},
        {"segments": [first | {"file": 1}, *rest]},
        {"segments": [first | {"file": "../run.db", "bytes": (run / "run.db").stat().st_size}, *rest]},
        {"segments": [first | {"rows": None}, *rest]},
    ]
    for text in (*(json.dumps(content | change) for change in changes), "[" * 100_000):
        manifest.write_text(text)
        assert [one.rows for one in (await segments(run)).segments] == [one.rows for one in known.segments]
    await require_same_reports(run)
    left = run / "metrics" / "999999.parquet"
    left.write_bytes(b"PAR1")
    found = await segments(run)
    assert {path.name for path in run.glob("metrics/*.parquet")} == {one.file for one in found.segments}
    assert not {one.file for one in known.segments} & {one.file for one in found.segments}  # no name is taken twice


async def test_a_process_that_writes_the_columns_of_a_shard_may_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(8))
    async with ScriptedEndpoint(played) as endpoint:
        for number in (1, 2):
            shard = TaskShard(number, 2)
            await generate(config(endpoint.url, tasks), tmp_path / f"shards/{number}", Options(shard=shard))
    monkeypatch.setattr("clairgen.api.reported_parts.write_columns", _killed)
    async with reported_parts(tmp_path / "shards", reads_columns=True, tell=print, fewest_pairs=1) as (_, parts):
        rows = [sum(one.rows for one in part.columns.segments) for part in parts if part.columns is not None]
    assert sum(rows) == 16
    assert len(rows) == 2


def _killed(_path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def test_a_report_goes_without_columns_where_another_process_has_them_or_nothing_can_be_written(
    tmp_path: Path,
) -> None:
    run = RunDirectory(await made(tmp_path, 3))
    async with reading(run) as store:
        run.metrics.mkdir()
        with locked_folder(run.metrics):
            async with store.segments.updated(run, store.pairs.cost_usd) as found:
                assert found is None
        shutil.rmtree(run.metrics)
        run.metrics.write_text("a file in its place")
        async with store.segments.updated(run, store.pairs.cost_usd) as found:
            assert found is None


async def test_each_value_falls_into_the_bin_that_a_report_counts_it_in(tmp_path: Path) -> None:
    run = await made(tmp_path, 2)
    ratios = [2.0**exponent for exponent in range(-5, 6)] + [0.1, 0.5000001, 1.19, 3.0, 7.999999999]
    values = [(at, at / 300, ratios[at % len(ratios)]) for at in (*range(40), *(2**power for power in range(6, 20)))]
    with closing(sqlite3.connect(run / "run.db")) as database, database:
        database.execute("DELETE FROM pairs")
        for at, (edits, jaccard, ratio) in enumerate(values):
            database.execute(
                "INSERT INTO pairs (id, position, task_id, recipe, status, parse_status, levenshtein, jaccard, length_ratio, "
                "tokenizer, metrics_version, filter_set) VALUES (?, ?, ?, 'clair', 'made', 'ok', ?, ?, ?, 'treebank', 1, 1)",
                (pair_id(str(at), "clair"), at + 1, str(at), edits, min(jaccard, 1.0), ratio),
            )
    found = await segments(run)
    with figures_connection() as connection:
        [kept] = SegmentFigures(connection, found.files("clair")).outcomes({one.metric: one.bins for one in SCALES})
    for scale, column in zip(SCALES, (1, 0, 2), strict=True):
        of_pairs = [min(value[column], 1.0) * 100 if column == 1 else value[column] for value in values]
        counts = dict.fromkeys(map(scale.bin, of_pairs), 0)
        for value in of_pairs:
            counts[scale.bin(value)] += 1
        assert dict(kept.metrics[scale.metric].bins) == counts
        assert kept.metrics[scale.metric].n == len(values)


async def test_bounds_filter_by_what_is_stored_as_they_do_by_texts(tmp_path: Path) -> None:
    run = await made(tmp_path)
    settings = await api.filters_in_force(run)
    assert settings is not None
    changed = settings.changed(
        {
            "jaccard": {"bounds": [20, None]},
            "length_ratio": {"bounds": [0.9, 1.201], "action": "drop"},
            "refusal": {"action": "mark"},
        }
    )
    async with writing(RunDirectory(run)) as store:  # texts that nobody could read
        [texts] = [await store.pairs._reader.rows("SELECT * FROM pair_texts")]
        await store.pairs._write(("UPDATE pair_texts SET chosen = 'no', rejected = 'no' WHERE chosen IS NOT NULL", ()))
    await filter_pairs(run, changed)
    async with writing(RunDirectory(run)) as store:
        sql = "UPDATE pair_texts SET chosen = ?, rejected = ? WHERE pair = ?"
        await store.pairs._write(*((sql, (row["chosen"], row["rejected"], row["pair"])) for row in texts))
    quickly = {recipe: await api.made_pairs(run, recipe) for recipe in ("clair", "stronger-preferred")}
    assert any(isinstance(one.outcome, Pair) and not one.findings for one in quickly["clair"])
    with closing(sqlite3.connect(run / "run.db")) as database, database:
        reasons = database.execute("SELECT id, drop_reason FROM pairs ORDER BY id").fetchall()
        database.execute("DELETE FROM meta WHERE key = 'filters_version'")
    await filter_pairs(run, changed)  # by all filters, on the texts
    for recipe, stored in quickly.items():
        again = await api.made_pairs(run, recipe)
        assert [(one.id, one.findings) for one in again] == [(one.id, one.findings) for one in stored]
    with closing(sqlite3.connect(run / "run.db")) as database:
        assert database.execute("SELECT id, drop_reason FROM pairs ORDER BY id").fetchall() == reasons
    assert len({reason for _, reason in reasons}) > 3
