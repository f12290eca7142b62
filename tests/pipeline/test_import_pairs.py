"""Imported pairs are pairs of a run: every row once, whatever happens, and equal to what was exported."""

import asyncio
import gzip
import json
import signal
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.cli.import_pairs import named_columns
from clairgen.errors import ConfigError, DrainedError, InputError, RunError
from clairgen.filters.filter import Candidate
from clairgen.filters.filter_settings import FilterSettings
from clairgen.pipeline.advise import advise
from clairgen.pipeline.generate import generate
from clairgen.pipeline.import_pairs import ImportOptions, ImportSummary, import_pairs
from clairgen.pipeline.refilter import filter_pairs
from clairgen.pipeline.reparse import reparse
from clairgen.records import Message, Pair, StoredPair
from clairgen.tasks import task_id_of
from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.runs import TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"Question number {n}",
            "chosen": f"Answer {n}, in full.",
            "rejected": f"No {n}",
            "source": "ab"[n % 2],
        }
        for n in range(count)
    ]


def written(path: Path, content: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in content), encoding="utf-8")
    return path


async def imported(path: Path, run: Path, **options: Any) -> ImportSummary:  # noqa: ANN401 - any option
    return await import_pairs(str(path), run, ImportOptions(**options))


def texts(pairs: Sequence[StoredPair]) -> list[tuple[str, str, str]]:
    return [
        (stored.task.messages[-1].content, stored.outcome.chosen.text, stored.outcome.rejected.text)
        for stored in pairs
        if isinstance(stored.outcome, Pair)
    ]


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def models_and_reasoning(stored: StoredPair) -> tuple[str, str, str | None]:
    assert isinstance(stored.outcome, Pair)
    return stored.outcome.chosen.model, stored.outcome.rejected.model, stored.outcome.reasoning


async def test_rows_become_pairs_in_their_order_with_their_further_columns(tmp_path: Path) -> None:
    summary = await imported(written(tmp_path / "pairs.jsonl", rows(5)), tmp_path / "run")
    pairs = await api.made_pairs(tmp_path / "run", "imported")
    assert (summary.state.pairs, summary.kept, summary.state.rows_left_out) == (5, 5, 0)
    assert texts(pairs) == [(row["prompt"], row["chosen"], row["rejected"]) for row in rows(5)]
    assert [stored.source_columns for stored in pairs] == [{"source": row["source"]} for row in rows(5)]
    assert all(stored.contrast is not None for stored in pairs)


async def test_what_was_exported_is_imported_as_equal_pairs_with_equal_figures(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(12))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), tmp_path / "run")
    await api.export(tmp_path / "run", tmp_path / "data")
    await imported(tmp_path / "data", tmp_path / "again", name="clair", subset="clair")
    before, after = [await api.made_pairs(tmp_path / run, "clair") for run in ("run", "again")]
    assert texts(after) == texts(before)
    assert [stored.id for stored in after] == [stored.id for stored in before]
    assert [stored.contrast for stored in after] == [stored.contrast for stored in before]
    assert [models_and_reasoning(stored) for stored in after] == [models_and_reasoning(stored) for stored in before]
    made, again = [
        next(one for one in await api.report(tmp_path / run) if one.recipe == "clair") for run in ("run", "again")
    ]
    assert again.contrast_of_kept == made.contrast_of_kept
    assert again.audit == made.audit
    assert (made.published is None, again.published) == (False, None)


async def test_an_import_that_was_stopped_goes_on_and_no_row_is_imported_twice(tmp_path: Path) -> None:
    path, run, stop = written(tmp_path / "pairs.jsonl", rows(1100)), tmp_path / "run", asyncio.Event()
    stop.set()
    with pytest.raises(DrainedError):
        await import_pairs(str(path), run, stop=stop)
    assert (await api.status(run)).imports["imported"].rows == 1000
    summary = await imported(path, run)
    assert (summary.rows_read, summary.state.rows, summary.state.complete) == (100, 1100, True)
    assert texts(await api.made_pairs(run, "imported")) == [
        (row["prompt"], row["chosen"], row["rejected"]) for row in rows(1100)
    ]
    assert (await imported(path, run)).rows_read == 0


async def test_a_source_that_changed_and_other_columns_are_refused(tmp_path: Path) -> None:
    path, run = written(tmp_path / "pairs.jsonl", rows(3)), tmp_path / "run"
    await imported(path, run)
    with pytest.raises(RunError, match="was imported as imported with no --column; give the same"):
        await imported(path, run, columns={"prompt": "prompt"})
    written(path, rows(4))
    with pytest.raises(RunError, match="is another source or has changed since"):
        await imported(path, run)
    assert (await imported(path, run, name="more")).state.pairs == 4


async def test_a_prompt_may_have_several_pairs_and_a_repeated_row_is_left_out(tmp_path: Path) -> None:
    [row] = rows(1)
    content = [
        row,
        {**row, "chosen": "Another."},
        row,
        {**row, "chosen": "Another.", "source": "c"},
        {**row, "prompt": " "},
    ]
    summary = await imported(written(tmp_path / "pairs.jsonl", content), tmp_path / "run")
    pairs = await api.made_pairs(tmp_path / "run", "imported")
    assert [chosen for _, chosen, _ in texts(pairs)] == ["Answer 0, in full.", "Another.", "Answer 0, in full."]
    assert len({stored.id for stored in pairs}) == 3
    [left] = summary.state.left_out.values()
    assert (left.count, left.first) == (2, "pairs.jsonl line 3")
    assert "repeats an earlier row" in left.why


async def test_pairs_of_one_prompt_are_found_again_over_batches(tmp_path: Path) -> None:
    content = rows(1001)
    content[1000] = content[0]
    summary = await imported(written(tmp_path / "pairs.jsonl", content), tmp_path / "run")
    assert summary.state.pairs == 1000


async def test_a_name_that_two_prompts_have_is_that_of_the_first(tmp_path: Path) -> None:
    content = [{**row, "id": "same"} for row in rows(2)]
    await imported(written(tmp_path / "pairs.jsonl", content), tmp_path / "run")
    first, second = [stored.task.id for stored in await api.made_pairs(tmp_path / "run", "imported")]
    assert first == "same"
    assert len(second) == 20


@pytest.mark.parametrize("between", [0, 1000], ids=["in a batch", "over batches"])
@pytest.mark.parametrize("name", ["a\0b", task_id_of((Message("user", "Last"),))], ids=["NUL", "the hash of another"])
async def test_no_name_keeps_another_prompt_from_being_imported(tmp_path: Path, name: str, between: int) -> None:
    [row] = rows(1)
    last = {**row, "prompt": "Last", "id": name if "\0" in name else None}
    content = [{**row, "id": name}, *rows(between + 1)[1:], last]
    summary = await imported(written(tmp_path / "pairs.jsonl", content), tmp_path / "run")
    assert summary.state.pairs == len(content)
    assert len({stored.task.id for stored in await api.made_pairs(tmp_path / "run", "imported")}) == len(content)


async def test_columns_that_no_export_can_have_as_they_are_become_text(tmp_path: Path) -> None:
    content = [{**row, "n": 10**30, "x\ud800": n} for n, row in enumerate(rows(2))]
    await imported(written(tmp_path / "pairs.jsonl", content), tmp_path / "run")
    await api.export(tmp_path / "run", tmp_path / "data")
    from datasets import load_dataset

    exported = load_dataset(str(tmp_path / "data"), "imported", split="train", cache_dir=str(tmp_path / "cache"))
    assert (exported["n"], exported["x\ufffd"]) == ([str(10**30)] * 2, [0, 1])


async def test_own_recipes_and_imported_pairs_of_the_same_prompts_are_exported_matched(tmp_path: Path) -> None:
    run, path = (
        tmp_path / "run",
        written(tmp_path / "pairs.jsonl", [{**row, "id": f"p{n}"} for n, row in enumerate(rows(3))]),
    )
    await imported(path, run)
    async with ScriptedEndpoint(played) as endpoint:
        await generate(
            config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(3)), recipes=["clair"]), run
        )
    summary = await api.export(run, tmp_path / "data", matched=True)
    assert summary.rows == {"clair": {"train": 3}, "imported": {"train": 3}}
    assert {stored.task.id for stored in await api.made_pairs(run, "clair")} == {"p0", "p1", "p2"}


async def test_a_recipe_does_not_make_imported_pairs_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    await imported(written(tmp_path / "pairs.jsonl", rows(3)), run, name="clair")
    async with ScriptedEndpoint(played) as endpoint:
        made = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(3)))
        with pytest.raises(RunError, match="pairs as clair that were imported"):
            await generate(made, run)
        assert not endpoint.asked
    with pytest.raises(RunError, match="no reply of a model to parse"):
        await reparse(run)
    with pytest.raises(ConfigError, match=r"imported, so the run has no models; .*--config"):
        await advise(run)


async def test_imported_pairs_are_advised_with_the_models_of_a_configuration(tmp_path: Path) -> None:
    run = tmp_path / "run"
    await imported(written(tmp_path / "pairs.jsonl", rows(2)), run)

    def answers(request: dict[str, Any]) -> Reply:
        return played(request) if request["model"] == TARGET else said("[[A]]")

    async with ScriptedEndpoint(answers) as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
        judge = {"model": "judge-model", "endpoints": [endpoint.url], "max_tokens": 50}
        summary = await advise(run, config=config(endpoint.url, tasks, judge=judge))
    assert [entry.recipe for entry in summary.recipes] == ["imported"]


async def test_filters_see_the_further_columns_and_export_has_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    content = [{**row, "jaccard": n, "mixed": n or "none"} for n, row in enumerate(rows(3))]
    await imported(written(tmp_path / "pairs.jsonl", content), run)
    await filter_pairs(run, FilterSettings().changed({"length_ratio": {"bounds": [1, 9], "action": "drop"}}))
    await api.export(run, tmp_path / "data")
    from datasets import load_dataset

    exported = load_dataset(str(tmp_path / "data"), "imported", split="train", cache_dir=str(tmp_path / "cache"))
    assert exported["source"] == ["a", "b", "a"]
    assert exported["source_jaccard"] == [0, 1, 2]
    assert exported["mixed"] == ["none", "1", "2"]
    assert "imported" in (tmp_path / "data/README.md").read_text()
    [stored] = await api.find_pairs(run)
    assert isinstance(stored.outcome, Pair)
    assert Candidate(stored.outcome, source_columns=stored.source_columns).source_columns["source"] == "a"


async def test_the_report_has_groups_and_no_row_of_the_paper(tmp_path: Path) -> None:
    run, page = tmp_path / "run", tmp_path / "page.html"
    await imported(written(tmp_path / "pairs.jsonl", rows(5)), run, name="clair")
    [report] = await api.report(run, by="source", html=page)
    assert [(group.value, group.n, group.kept) for group in report.groups] == [("a", 3, 3), ("b", 2, 2)]
    assert report.to_json()["imported_from"] == "pairs.jsonl"
    assert "aper" not in page.read_text().partition("<main>")[2].partition("<script")[0]
    assert "is imported from pairs.jsonl" in " ".join(page.read_text().split())
    done = await clairgen("report", run, "--by", "source")
    assert "is imported from pairs.jsonl" in done.out
    assert "paper" not in done.out
    with pytest.raises(InputError, match="has the column 'colour'; they have source"):
        await api.report(run, by="colour")


async def test_a_saved_folder_is_read_by_its_split(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    splits = {"test_prefs": Dataset.from_list(rows(1)), "train_prefs": Dataset.from_list(rows(3))}
    DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    assert (await imported(tmp_path / "saved", tmp_path / "run")).state.pairs == 3
    assert (await imported(tmp_path / "saved", tmp_path / "run", name="test", split="test_prefs")).state.pairs == 1
    with pytest.raises(InputError, match="has no split 'dev'; it has"):
        await imported(tmp_path / "saved", tmp_path / "run", name="dev", split="dev")


async def test_the_command_says_what_it_understood_before_what_it_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.jsonl", [*rows(2), {"prompt": "Question", "chosen": None, "rejected": "b"}])
    done = await clairgen("import", path, "--run", tmp_path / "run", "--as", "mine")
    assert done.code == 0
    assert done.err.startswith(
        "pairs.jsonl: a chosen and a rejected answer: `chosen` is better than `rejected`; the prompt is "
    )
    assert "1 row left out, the first at pairs.jsonl line 3: has no `chosen`" in done.out
    status = await clairgen("status", tmp_path / "run")
    assert "mine: 3 rows of pairs.jsonl imported, 1 row left out" in status.out
    shown = await clairgen("show", tmp_path / "run")
    assert "source" in shown.out


@pytest.mark.parametrize("given", [["prompt"], ["prompt="], ["prompt=a", "prompt=b"]])
def test_a_column_is_named_by_its_role_once(given: list[str]) -> None:
    with pytest.raises(ConfigError, match="ROLE=NAME"):
        named_columns(given)


async def test_a_file_is_reported_on_in_one_go_with_nothing_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    path = written(tmp_path / "pairs.jsonl", [*rows(4), {"prompt": "Question", "chosen": None, "rejected": "b"}])
    done = await clairgen("report", path, "--json", "--by", "source")
    [report] = json.loads(done.out)
    assert (report["run"], report["recipe"], report["imported_from"]) == (str(path), "imported", "pairs.jsonl")
    assert [(group["value"], group["n"]) for group in report["groups"]] == [("a", 2), ("b", 2)]
    assert report["assessment"]["next"].startswith(
        f"To go on, keep the pairs: clairgen import {path} --run runs/kept. "
    )
    assert "pairs.jsonl: a chosen and a rejected answer" in done.err
    assert "1 row left out, the first at pairs.jsonl line 5" in done.err
    assert names_in(tmp_path) == ["pairs.jsonl", "tmp"]
    assert names_in(tmp_path / "tmp") == []


async def test_sources_and_runs_stand_side_by_side_and_a_kept_run_stays(tmp_path: Path) -> None:
    path, run, page = written(tmp_path / "pairs.jsonl", rows(4)), tmp_path / "run", tmp_path / "page.html"
    await api.report(path, keep=run)
    assert len(await api.made_pairs(run, "imported")) == 4
    [kept, again] = await api.report(run, path, html=page)
    assert (kept.run, again.run) == (str(run), str(path))
    assert again.contrast_of_all == kept.contrast_of_all
    assert str(path) in page.read_text()
    assert "clairgen-" not in page.read_text().partition("<script")[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--split", "train"], "are for pairs from a file, a folder or hub:owner/name"),
        (["pairs.jsonl", "more.jsonl", "--run", "kept"], "--run keeps the pairs of one source, and 2 are named"),
        (["pairs.jsonl", "--matched"], "--matched compares the recipes of a run, and pairs.jsonl has 1"),
        (["pairs.jsonl", "--split", "dev"], "pairs.jsonl is a file and has no split 'dev'"),
        (["absent.jsonl"], "absent.jsonl is not a run directory: there is no such file or folder"),
    ],
)
async def test_what_does_not_fit_a_source_is_refused(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await imported(written(tmp_path / "pairs.jsonl", rows(2)), tmp_path / "run")
    written(tmp_path / "more.jsonl", rows(3))
    done = await clairgen("report", *arguments)
    assert done.code != 0
    assert said in " ".join(done.err.split())


async def test_a_folder_with_rows_is_reported_on(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"a": Dataset.from_list(rows(3)), "b": Dataset.from_list(rows(2))}).save_to_disk(
        str(tmp_path / "saved")
    )
    [report] = await api.report(tmp_path / "saved", source=ImportOptions(split="b"))
    assert (report.run, report.n) == (str(tmp_path / "saved"), 2)


async def test_files_of_a_folder_that_are_not_read_are_named_and_those_that_are_may_not_change(tmp_path: Path) -> None:
    folder, run, said = tmp_path / "data", tmp_path / "run", list[str]()
    folder.mkdir()
    (folder / "train.jsonl.gz").write_bytes(gzip.compress(written(tmp_path / "a.jsonl", rows(2)).read_bytes()))
    written(folder / "extra.jsonl", rows(3))
    assert (await import_pairs(str(folder), run, tell=said.append)).state.pairs == 2
    assert said[0].endswith("; files that are not read: extra.jsonl.")
    written(folder / "extra.jsonl", rows(4))
    assert (await imported(folder, run)).rows_read == 0
    (folder / "train.jsonl.gz").write_bytes(gzip.compress(written(tmp_path / "a.jsonl", rows(2)[::-1]).read_bytes()))
    with pytest.raises(RunError, match="has changed since"):
        await imported(folder, run)


async def test_a_folder_that_cannot_be_read_says_what_is_wrong_in_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_text('{"prompt": oh}\n')
    with pytest.raises(InputError, match="cannot be read: JSON parse error: Invalid value"):
        await imported(tmp_path / "data", tmp_path / "run")


async def test_the_texts_that_models_answered_give_the_figures_of_stronger_preferred_when_imported(
    tmp_path: Path,
) -> None:
    endings = ["", ".", ":\n\n- one\n- two", "\n```\ncode\n```", " (I'm sorry, but I can't help with that.)"]
    content = [
        {
            "prompt": prompt,
            "chosen": f"Concerning number {n}, there are {'many ' * (n % 7)}things to say{endings[n % 5]}",
            "rejected": f"{'Well, ' * (n % 3)}number {n} has things{endings[n % 4]}",
        }
        for n, prompt in enumerate(questions(60))
    ]
    by_prompt = {row["prompt"]: row for row in content}

    def answered(request: dict[str, Any]) -> Reply:
        row = by_prompt[request["messages"][-1]["content"]]
        return said(row["rejected" if request["model"] == TARGET else "chosen"])

    async with ScriptedEndpoint(answered) as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", by_prompt)
        await generate(config(endpoint.url, tasks, recipes=["stronger-preferred"]), tmp_path / "made")
    await imported(written(tmp_path / "pairs.jsonl", content), tmp_path / "run")
    [made], [read] = await api.report(tmp_path / "made"), await api.report(tmp_path / "run")
    assert (read.n, read.kept, read.dropped, read.marked) == (made.n, made.kept, made.dropped, made.marked)
    assert read.contrast_of_all == made.contrast_of_all
    assert read.contrast_of_kept == made.contrast_of_kept
    assert read.audit == made.audit
    assert read.audit is not None
    assert (made.published is None, read.published) == (False, None)


@pytest.mark.process
async def test_an_import_that_was_killed_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    path, run = written(tmp_path / "pairs.jsonl", rows(5000)), tmp_path / "run"
    async with forked("import", path, "--run", run, "--jobs", "2") as running:
        while committed_pairs(run) < 1000:  # noqa: ASYNC110 - another process sets it
            await asyncio.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        assert await running.wait() == -signal.SIGKILL
    before = committed_pairs(run)
    assert before % 1000 == 0
    summary = await imported(path, run)
    assert (summary.rows_read, summary.state.pairs) == (5000 - before, 5000)
    undisturbed = await imported(path, tmp_path / "undisturbed", jobs=1)
    assert undisturbed.state == summary.state
    assert stored_rows(run) == stored_rows(tmp_path / "undisturbed")


def committed_pairs(run: Path) -> int:
    """How many pairs are on disk."""
    if not (run / "run.db").exists():
        return 0
    with closing(sqlite3.connect(run / "run.db")) as database, suppress(sqlite3.OperationalError):
        return int(database.execute("SELECT count(*) FROM pairs").fetchone()[0])
    return 0  # the schema is not there yet


def stored_rows(run: Path) -> list[list[tuple[Any, ...]]]:
    """Everything that is stored of pairs."""
    with closing(sqlite3.connect(run / "run.db")) as database:
        queries = (
            (
                "SELECT id, position, prompt, chosen, rejected, levenshtein, jaccard, length_ratio FROM pairs "
                "JOIN pair_texts ON pair = number ORDER BY position"
            ),
            "SELECT position, id, messages FROM tasks ORDER BY position",
            "SELECT pair_id, filter, action, reason, value FROM filter_results ORDER BY pair_id, position",
        )
        return [database.execute(query).fetchall() for query in queries]


async def test_a_sources_finish_reasons_are_those_of_the_answers(tmp_path: Path) -> None:
    given = rows(3)
    given[0] |= {"chosen_finish_reason": "length", "rejected_finish_reason": "stop"}
    given[1] |= {"chosen_finish_reason": "stop", "rejected_finish_reason": None}
    given[2] |= {"chosen_finish_reason": "", "rejected_finish_reason": "stop"}
    await imported(written(tmp_path / "pairs.jsonl", given), tmp_path / "run")
    outcomes = [stored.outcome async for stored in api.pairs(tmp_path / "run", kept=False)]
    ends = {(pair.chosen.finish_reason, pair.rejected.finish_reason) for pair in outcomes if isinstance(pair, Pair)}
    assert ends == {("length", "stop"), ("stop", "recorded"), ("recorded", "stop")}
    [report] = await api.report(tmp_path / "run")
    assert (report.kept, dict(report.dropped)) == (2, {"chosen-truncated": 1})
