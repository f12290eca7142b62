"""Shards of a run: who has which task, what a shard refuses, and that a merged run equals the run of one machine."""

import asyncio
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.api.reported_parts import reported_parts
from clairgen.errors import ConfigError, DrainedError, RunError
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.pipeline.human_revisions import EditedAnswer
from clairgen.pipeline.import_pairs import import_pairs
from clairgen.pipeline.merge_shards import MergeSummary, merge_shards
from clairgen.pipeline.progress import Progress
from clairgen.records import Message, Pair
from clairgen.reporting.report import RecipeReport
from clairgen.store import HUMAN_REVISION, SHARDS_AT_ONCE, RunDirectory, Vote, writing
from clairgen.store.shard_merger import DECISIONS
from clairgen.task_shard import TaskShard, named_shard
from tests.cli.commands import clairgen, pairs_in
from tests.reporting.from_columns import nearly, reports_from_columns
from tests.runs import REVISER, config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused

SHARDS = 3
ROWS: list[Any] = [
    *questions(16),
    *questions(5),  # repeated prompts
    {"id": "named", "prompt": "Who has this id?"},
    {"id": "named", "prompt": "Who has it too?"},  # a conflict, perhaps with the task of another shard
    {"prompt": ""},
    "Refused, whatever the model",
    *questions(20)[16:],
]
PRICED = {"price_per_million": {"input": 1, "output": 2}}
VOLATILE = {"created_at", "made_at", "failed_at", "started_at", "latency_seconds"}
NUMBERED = {**dict.fromkeys(("attempts", "spending", "configurations", "votes"), "id"), "pairs": "number"}
OWN_META = {"run_id", "created_at", "shard", "clairgen_version"}


def answered(request: dict[str, Any]) -> Reply:
    if "Refused" in request["messages"][-1]["content"]:
        return refused(400, "the content filter refused it", code="content_filter")
    return played(request)


def contents(run: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that a run has by table, without moments, and without the numbers of rows that have no key."""
    found = {}
    with closing(sqlite3.connect(run / "run.db")) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table == "pair_changes":  # in which order pairs came
                continue
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            if table == "pair_texts":
                table, columns = "pairs JOIN pair_texts ON pair = number", ["pairs.id", *columns[1:]]
            kept = [name for name in columns if name not in VOLATILE and name != NUMBERED.get(table)]
            rows = database.execute(f"SELECT {', '.join(kept)} FROM {table}").fetchall()  # noqa: S608 - names of the schema
            found[table] = sorted(rows, key=repr)
    found["meta"] = [
        row for row in found["meta"] if row[0] not in OWN_META and not row[0].startswith(("merged:", "last_position:"))
    ]
    return found


class Cluster:
    """Shards of one run, a merged one, and a run of one machine to compare it with."""

    def __init__(self, folder: Path, url: str, **changes: Any) -> None:  # noqa: ANN401 - any part of a configuration
        self.folder = folder
        self.tasks = write_tasks(folder / "tasks.jsonl", ROWS)
        self.config = config(url, self.tasks, **changes)
        self.merged = folder / "merged"

    def shard(self, number: int) -> Path:
        """The run directory of a shard."""
        return self.folder / "shards" / str(number)

    async def generate(self, number: int, **options: Any) -> Summary:  # noqa: ANN401 - any option
        """Make a shard, or go on with it."""
        shard = TaskShard(number, SHARDS)
        return await generate(self.config, self.shard(number), Options(shard=shard, skip_bad_lines=True, **options))

    async def generate_all(self, **options: Any) -> None:  # noqa: ANN401 - any option
        """Make all shards, one after another."""
        for number in range(1, SHARDS + 1):
            await self.generate(number, **options)

    async def whole(self, name: str = "whole", **options: Any) -> Path:  # noqa: ANN401 - any option
        """Make a run of all tasks."""
        await generate(self.config, self.folder / name, Options(skip_bad_lines=True, **options))
        return self.folder / name

    async def merge(self, *numbers: int) -> MergeSummary:
        """Merge these shards, or all of them."""
        shards = [self.shard(number) for number in numbers] or [self.folder / "shards"]
        return await merge_shards(shards, self.merged)


async def test_merged_shards_equal_the_run_of_one_machine(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url, filters={"near_duplicate": {"action": "drop"}})
        whole = await cluster.whole()
        asked = Counter(endpoint.prompts())
        endpoint.asked.clear()
        await cluster.generate_all()
        assert endpoint.prompts() == asked
        assert all(contents(cluster.shard(number))["tasks"] for number in (1, 2, 3))
        summary = await cluster.merge()
        assert summary.lacking == 0
        assert contents(cluster.merged) == contents(whole)
        once = contents(cluster.merged)
        again = await cluster.merge()
        assert {sum(shard.added.values()) for shard in again.shards.values()} == {0}
        assert contents(cluster.merged) == once
        endpoint.asked.clear()
        await generate(cluster.config, cluster.merged, Options(skip_bad_lines=True))
        assert endpoint.asked == []
    assert contents(cluster.merged) == contents(whole)


async def test_a_shard_in_two_folders_adds_what_it_has_once(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url, budget_usd=2, target=PRICED, stronger=PRICED)
        whole = await cluster.whole()
        await cluster.generate_all()
    shutil.copytree(cluster.shard(1), cluster.shard(4))
    summary = await cluster.merge()
    assert sum(summary.shards[cluster.shard(1)].added.values()) > 10
    assert sum(summary.shards[cluster.shard(4)].added.values()) == 0
    merged, once = contents(cluster.merged), contents(whole)
    assert {table: rows for table, rows in merged.items() if table != "meta"} == {
        table: rows for table, rows in once.items() if table != "meta"
    }


async def test_shards_that_share_pairs_are_merged_together_as_one_after_another(tmp_path: Path) -> None:
    refusing = {REVISER}

    def script(request: dict[str, Any]) -> Reply:
        return refused(400, "no", code="content_filter") if request["model"] in refusing else answered(request)

    shards = [tmp_path / "one" / "1", tmp_path / "other" / "1", tmp_path / "shards" / "2"]
    async with ScriptedEndpoint(script) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        for shard in shards:
            options = Options(shard=TaskShard(int(shard.name), SHARDS), skip_bad_lines=True)
            await generate(cluster.config, shard, options)
            refusing.clear()
    for number in range(SHARDS_AT_ONCE - 1):  # so many that they take two transactions
        shards.append(tmp_path / "further" / str(number))
        shutil.copytree(shards[1], shards[-1])
        with closing(sqlite3.connect(shards[-1] / "run.db")) as database, database:
            database.execute("UPDATE meta SET value = ? WHERE key = 'run_id'", (str(number),))
    for shard in shards[:2]:
        for stored in (await api.made_pairs(shard, "stronger-preferred"))[:3]:
            await api.revise(shard, stored.id, "Edited", shard.parent.name, answer=EditedAnswer.REJECTED)
    await merge_shards(shards, cluster.merged)
    for shard in shards:
        await merge_shards([shard], tmp_path / "again")
    merged = contents(cluster.merged)
    assert merged == contents(tmp_path / "again")
    failed = {identity for identity, _, _, _, status, *_ in merged["pairs"] if status == "failed"}
    assert {identity for identity, *_ in merged["failures"]} == failed
    assert len(merged["revisions"]) == 6


async def test_merging_goes_on_where_shards_do(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url, budget_usd=2, target=PRICED, stronger=PRICED)
        whole = await cluster.whole()
        await cluster.generate_all(limit=9)
        await cluster.merge()
        assert contents(cluster.merged)["pairs"] == contents(await cluster.whole("limited", limit=9))["pairs"]
        await cluster.generate_all()
        await cluster.merge()
    merged, expected = contents(cluster.merged), contents(whole)
    assert [row for row in merged["meta"] if row[0] == "budget"] == [
        ("budget", '{"limit_usd": 6.0, "configured_usd": 2.0}')
    ]
    assert {name: rows for name, rows in merged.items() if name != "meta"} == {
        name: rows for name, rows in expected.items() if name != "meta"
    }


async def test_what_a_lost_shard_had_is_made_by_the_merged_run(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        whole = await cluster.whole()
        await cluster.generate_all()
        summary = await cluster.merge(1, 3)
        lost = len(contents(cluster.shard(2))["tasks"])
        assert summary.lacking == lost > 0
        pairs = write_tasks(tmp_path / "pairs.jsonl", [{"prompt": "p", "chosen": "c", "rejected": "r"}])
        with pytest.raises(RunError, match="lacks shards, and an import belongs to a whole run"):
            await import_pairs(str(pairs), cluster.merged)
        endpoint.asked.clear()
        planned = await estimate(cluster.config, cluster.merged, Options(skip_bad_lines=True))
        await generate(cluster.config, cluster.merged, Options(skip_bad_lines=True))
        assert planned.tasks == len(contents(whole)["tasks"])
        assert {role.role: role.calls for role in planned.roles}["target"] <= lost
        assert len(endpoint.asked) <= 3 * lost
        assert contents(cluster.merged) == contents(whole)
        await cluster.merge(2)
    merged, expected = contents(cluster.merged), contents(whole)
    assert merged["pairs"] == expected["pairs"]
    assert merged["completions"] == expected["completions"]


async def test_other_numbers_of_shards_reuse_what_a_merged_run_has(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate_all()
        await cluster.merge()
        endpoint.asked.clear()
        for number in (1, 2):
            options = Options(shard=TaskShard(number, 2), reuse=(cluster.merged,), skip_bad_lines=True)
            await generate(cluster.config, tmp_path / "two" / str(number), options)
        assert all("Refused" in request["messages"][-1]["content"] for request in endpoint.asked)
        await merge_shards([tmp_path / "two"], tmp_path / "again")
    assert contents(tmp_path / "again")["pairs"] == contents(cluster.merged)["pairs"]


async def test_more_shards_than_tasks(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    async with ScriptedEndpoint(played) as endpoint:
        settings = config(endpoint.url, tasks)
        for number in range(1, 6):
            await generate(settings, tmp_path / "shards" / str(number), Options(shard=TaskShard(number, 5)))
        assert (await merge_shards([tmp_path / "shards"], tmp_path / "all")).statuses["clair"] == {"made": 2}


async def test_interrupted_reading_goes_on_with_the_same_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clairgen.pipeline.ingest._ROWS_PER_COMMIT", 7)
    stop = asyncio.Event()
    stop.set()
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        shard = Options(shard=TaskShard(2, SHARDS), skip_bad_lines=True)
        for _ in range(2):
            with pytest.raises(DrainedError):
                await generate(cluster.config, cluster.shard(2), shard, stop=stop)
        with pytest.raises(RunError, match="has not read all its tasks"):
            await cluster.merge(2)
        await generate(cluster.config, cluster.shard(2), shard)
        await generate(cluster.config, tmp_path / "at-once", shard)
    assert contents(cluster.shard(2)) == contents(tmp_path / "at-once")


async def test_a_failure_that_a_shard_overcame_is_overcome_in_the_run(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate_all()
        await cluster.merge()
        assert contents(cluster.merged)["failures"]
        endpoint.script = played
        await cluster.generate_all(retry_failed=True)
        await cluster.merge()
        whole = await cluster.whole()
    merged, expected = contents(cluster.merged), contents(whole)
    reasons = {row[4] for row in expected["failures"]}
    assert {row[4] for row in merged["failures"]} == reasons == {"blank-prompt"}
    assert merged["pairs"] == expected["pairs"]
    assert len(merged["attempts"]) == len(expected["attempts"]) + 1  # the one that was refused


async def test_votes_on_shards_are_kept_and_the_latest_counts(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate_all()
    with closing(sqlite3.connect(cluster.shard(1) / "run.db")) as database:
        [(pair,), *_] = database.execute("SELECT id FROM pairs WHERE status = 'made'").fetchall()
    await cluster.merge()
    async with writing(RunDirectory(cluster.shard(1))) as store:
        await store.votes.cast(pair, "anna", Vote.KEEP, shown_first="rejected")
    async with writing(RunDirectory(cluster.merged)) as store:
        await store.votes.cast(pair, "anna", Vote.DROP)
        await store.votes.cast(pair, "bert", Vote.TIE)
    with closing(sqlite3.connect(cluster.merged / "run.db")) as database, database:
        database.execute("UPDATE votes SET created_at = '2999-01-01' || substr(created_at, 11)")
    await cluster.merge()
    await cluster.merge()
    async with writing(RunDirectory(cluster.merged)) as store:
        votes = {one.voter: one.vote for one in await store.votes.of_pair(pair)}
        every = await store.votes.all(list(await store.metadata.plans()))
    assert votes == {"anna": Vote.DROP, "bert": Vote.TIE}
    assert [(one.vote, one.shown_first) for one in every] == [("keep", "rejected"), ("drop", None), ("tie", None)]
    assert len(contents(cluster.merged)["votes"]) == 3


async def test_edits_on_shards_are_kept_with_their_pairs(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate_all()
        whole = await cluster.whole()
    for number in (1, 2):
        for stored in (await api.made_pairs(cluster.shard(number), "clair"))[:2]:
            for run in (cluster.shard(number), whole):
                await api.revise(run, stored.id, f"{stored.task.id} by hand", "anna", answer=EditedAnswer.REJECTED)
    await cluster.merge()
    await cluster.merge()
    assert await edited(cluster.merged) == await edited(whole)
    with closing(sqlite3.connect(cluster.merged / "run.db")) as database:
        sql = "SELECT position FROM pairs WHERE recipe = ? ORDER BY position"
        assert database.execute(sql, (HUMAN_REVISION,)).fetchall() == [(1,), (2,), (3,), (4,)]
    [first, *_] = await api.made_pairs(cluster.shard(1), "clair")
    await api.revise(cluster.shard(1), first.id, "Edited otherwise", "anna", answer=EditedAnswer.REJECTED)
    await cluster.merge()
    assert len(contents(cluster.merged)["revisions"]) == 5
    texts = {text for _, text, _ in await edited(cluster.merged)}
    assert len(texts) == 4
    assert "Edited otherwise" in texts
    assert f"{first.task.id} by hand" not in texts


async def edited(run: Path) -> list[tuple[str, str, str]]:
    """The pairs that edits made: id, chosen and rejected answer."""
    pairs = [(stored.id, stored.outcome) for stored in await api.made_pairs(run, HUMAN_REVISION)]
    return sorted((one, pair.chosen.text, pair.rejected.text) for one, pair in pairs if isinstance(pair, Pair))


async def test_what_differs_is_named_and_stays(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate(1)
        await cluster.merge(1)
        before = contents(cluster.merged)
        with closing(sqlite3.connect(cluster.shard(1) / "run.db")) as database, database:
            database.execute("UPDATE completions SET text = 'otherwise' WHERE role = 'reviser'")
            database.execute(
                "UPDATE pair_texts SET chosen = 'otherwise' WHERE pair IN "
                "(SELECT number FROM pairs WHERE recipe = 'clair' AND status = 'made')"
            )
        told: list[str] = []
        await merge_shards([cluster.shard(1)], cluster.merged, tell=told.append)
    assert contents(cluster.merged) == before
    assert "answers are in" in told[0]
    assert "pairs are in" in told[0]


@pytest.mark.parametrize("changes", [{"target": {"temperature": 0.1}}, {"recipes": ["clair"]}])
async def test_shards_of_other_plans_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate(1)
        cluster.config = config(endpoint.url, cluster.tasks, **changes)
        await cluster.generate(2)
        with pytest.raises(RunError, match="was made by other plans than"):
            await cluster.merge(1, 2)
        await cluster.merge(1)
        with pytest.raises(RunError, match="was made by other plans than"):
            await cluster.merge(2)


async def test_shards_of_other_tasks_are_refused(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate(1)
        write_tasks(cluster.tasks, [*questions(30), *ROWS[25:]])
        await cluster.generate(2)
        with pytest.raises(RunError, match="has other tasks than"):
            await cluster.merge(1, 2)
        await cluster.merge(1)
        with pytest.raises(RunError, match="has other tasks than"):
            await cluster.merge(2)
        with pytest.raises(RunError, match="the tasks changed, and shard 1/3 cannot go on"):
            await cluster.generate(1, accept_changes=True)
        with pytest.raises(RunError, match="the run lacks shards, and the tasks are no longer"):
            await generate(cluster.config, cluster.merged, Options(accept_changes=True))


async def test_only_shards_are_merged_and_only_into_a_run_of_theirs(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate(1)
        whole = await cluster.whole()
    with pytest.raises(RunError, match="is no shard, but a run of its own"):
        await merge_shards([cluster.shard(1), whole], cluster.merged)
    with pytest.raises(RunError, match="is a run of its own; name a new folder"):
        await merge_shards([cluster.shard(1)], whole)
    with pytest.raises(RunError, match="cannot be merged into itself"):
        await merge_shards([cluster.shard(1)], cluster.shard(1))
    with pytest.raises(RunError, match="is not a run directory"):
        await merge_shards([tmp_path / "nowhere"], cluster.merged)
    with RunDirectory(cluster.shard(1)).locked(), pytest.raises(RunError, match="is in use by process"):
        await cluster.merge(1)


async def test_a_run_remembers_its_shard(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        before = (
            await estimate(cluster.config, cluster.shard(2), Options(shard=TaskShard(2, 3), skip_bad_lines=True))
        ).tasks
        await cluster.generate(2, limit=4)
        progress = Progress()
        summary = await generate(cluster.config, cluster.shard(2), Options(skip_bad_lines=True), progress=progress)
        assert summary.statuses["clair"] == (await cluster.generate(2)).statuses["clair"]
        assert sum(summary.statuses["clair"].values()) == before
        assert any("the run is shard 2/3" in note for note in progress.notes)
        after = await estimate(cluster.config, cluster.shard(2), Options(skip_bad_lines=True))
        assert (after.tasks, after.pairs_made) == (before, 2 * summary.statuses["clair"]["made"])
        for other in (TaskShard(1, 3), TaskShard(2, 4)):
            with pytest.raises(RunError, match=f"is shard 2/3, and shard {other} was asked for"):
                await generate(cluster.config, cluster.shard(2), Options(shard=other))
        whole = await cluster.whole()
        with pytest.raises(RunError, match="is a run of all tasks and not shard 1/3"):
            await generate(cluster.config, whole, Options(shard=TaskShard(1, 3)))
        pairs = write_tasks(tmp_path / "pairs.jsonl", [{"prompt": "p", "chosen": "c", "rejected": "r"}])
        with pytest.raises(RunError, match="an import belongs to a whole run"):
            await import_pairs(str(pairs), cluster.shard(2))
        cluster.config = config(endpoint.url, cluster.tasks, **{"import": [{"path": str(pairs)}]})
        with pytest.raises(ConfigError, match="`import` belongs to a whole run"):
            await cluster.generate(1)


def test_every_task_is_in_one_shard_whatever_the_roles_add() -> None:
    prompts = [(Message("user", prompt),) for prompt in questions(1000)]
    sizes = Counter(shard for prompt in prompts for shard in owners(prompt, own_turns=False))
    assert sum(sizes.values()) == 1000
    assert all(90 < size < 160 for size in sizes.values())
    for prompt in prompts[:50]:
        with_system = (Message("system", "Be brief."), *prompt)
        conversation = (*with_system, Message("assistant", "Yes?"), Message("user", "Go on."))
        assert owners(with_system, own_turns=False) == owners(prompt, own_turns=False)
        assert owners(conversation, own_turns=True) == owners(prompt, own_turns=True)
    assert owners(prompts[0], own_turns=False) == [3]  # part of the contract: other versions have to find the same


def owners(messages: tuple[Message, ...], *, own_turns: bool) -> list[int]:
    return [number for number in range(1, 9) if TaskShard(number, 8).has(messages, own_turns=own_turns)]


SLURM = {
    f"SLURM_ARRAY_TASK_{name}": value for name, value in (("COUNT", "4"), ("MIN", "10"), ("MAX", "16"), ("STEP", "2"))
}


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        ("2/8", {}, "2/8"),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_ID": "10"}, "1/4"),
        ("auto/4", SLURM | {"SLURM_ARRAY_TASK_ID": "16"}, "4/4"),
        ("auto/8", {"JOB_COMPLETION_INDEX": "0"}, "1/8"),
        ("auto", {"SKYPILOT_JOB_RANK": "2", "SKYPILOT_NUM_JOBS": "3"}, "3/3"),
        ("auto/3", {"SKYPILOT_JOB_RANK": "2", "JOB_COMPLETION_INDEX": "2"}, "3/3"),
    ],
)
def test_shards_are_named_by_numbers_or_by_the_scheduler(text: str, environment: dict[str, str], shard: str) -> None:
    assert str(named_shard(text, environment)) == shard


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/8", {}, "shards are counted from 1, so give 1/8 to 8/8"),
        ("9/8", {}, "shards are counted from 1"),
        ("1/0", {}, "does not exist"),
        ("1/200000", {}, "there can be 100,000"),
        ("second", {}, "is not a shard; give i/N"),
        ("auto/x", {}, "is not a shard"),
        ("auto/", {"JOB_COMPLETION_INDEX": "0"}, "does not come with their number"),
        ("auto", {}, "finds none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, SKYPILOT_JOB_RANK"),
        ("auto", {"JOB_COMPLETION_INDEX": "3"}, "give --shard auto/N"),
        ("auto", {"SKYPILOT_JOB_RANK": "3"}, "SKYPILOT_NUM_JOBS is not set"),
        ("auto/3", {"JOB_COMPLETION_INDEX": "3"}, "counts from 0, so there is no such shard of 3"),
        ("auto", {"JOB_COMPLETION_INDEX": "-1"}, "is not a number"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "4"}, "SLURM_ARRAY_TASK_MIN is not"),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_ID": "11"}, "has gaps"),
        ("auto", SLURM | {"SLURM_ARRAY_TASK_ID": "16", "SLURM_ARRAY_TASK_COUNT": "2"}, "has gaps"),
        ("auto/8", SLURM | {"SLURM_ARRAY_TASK_ID": "12"}, "contradicts SLURM_ARRAY_TASK_COUNT=4"),
        ("auto/3", {"SKYPILOT_JOB_RANK": "2", "JOB_COMPLETION_INDEX": "1"}, "finds several answers"),
    ],
)
def test_what_names_no_shard_is_refused(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        named_shard(text, environment)


async def test_every_table_has_a_decision(tmp_path: Path) -> None:
    async with writing(RunDirectory(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / "run.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables - {name for name in tables if name.startswith("sqlite_")} == set(DECISIONS)


async def test_status_takes_a_folder_of_shards_as_one_run(tmp_path: Path) -> None:
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url)
        await cluster.generate_all()
        whole = await api.status(await cluster.whole())
        shards = tmp_path / "shards"
        shown = await clairgen("status", shards)
        assert pairs_in(shown.out, "clair")["made"] == whole.statuses["clair"]["made"]
        told = json.loads((await clairgen("status", shards, "--json")).out)
        expected = whole.to_json() | {"run": str(shards), "run_id": None}
        assert {name: told[name] for name in expected if name != "filters"} == {
            name: value for name, value in expected.items() if name != "filters"
        }
        assert [one["shard"] for one in told["shards"]] == ["1/3", "2/3", "3/3"]
        assert told["missing_shards"] == []
        done = await clairgen("reparse", shards)
        assert done.code == 2
        assert f"contains 3 runs, such as {shards / '1'}; name one of them, or make one run of the shards" in done.err
        shutil.move(cluster.shard(2), tmp_path / "two")
        assert json.loads((await clairgen("status", shards, "--json")).out)["missing_shards"] == ["2/3"]
        shutil.copytree(cluster.shard(1), shards / "copy")
        assert "are both shard 1/3; take one of them out" in (await clairgen("status", shards)).err


def figures(reports: Sequence[RecipeReport]) -> list[dict[str, Any]]:
    """What reports say, but for where the pairs are and what was found by comparing them with each other."""
    own = {"run", "assessment", "marked"}
    return [{key: value for key, value in report.to_json().items() if key not in own} for report in reports]


async def test_the_report_on_a_folder_of_shards_is_that_of_the_merged_run(tmp_path: Path) -> None:
    filters = {"near_duplicate": {"action": "mark"}, "jaccard": [10, None]}
    async with ScriptedEndpoint(answered) as endpoint:
        cluster = Cluster(tmp_path, endpoint.url, filters=filters)
        await cluster.generate_all()
        await cluster.merge()
    shards = tmp_path / "shards"
    merged = figures(await api.report(cluster.merged))
    told: list[object] = []
    together = figures(await api.report(shards, tell=told.append))
    assert sum(report["n"] for report in together) > 20
    assert nearly(together) == nearly(merged)
    assert "has compared only those of the same shard, and may drop more once the shards are merged" in str(told)
    columns = await reports_from_columns([cluster.shard(number) for number in (1, 2, 3)])
    assert nearly(figures(columns)) == nearly(together)
    async with reported_parts(shards, reads_columns=True, tell=told.append, fewest_pairs=1) as (_, parts):
        assert [part.columns is not None for part in parts] == [True] * SHARDS
    matched = [(await api.report(folder, matched=True))[0].n for folder in (shards, cluster.merged)]
    assert matched[0] == matched[1] > 0
    shutil.move(cluster.shard(2), tmp_path / "two")
    assert "shards is without 1 shard: 2/3" in (await clairgen("report", shards)).err
    shutil.move(tmp_path / "two", cluster.shard(2))
    await clairgen("filter", cluster.shard(2), "--jaccard", "70:")
    assert f"{cluster.shard(2)} has other filters in force than" in (await clairgen("report", shards)).err
    shutil.copytree(cluster.shard(1), shards / "copy")
    assert "are both shard 1/3; take one of them out" in (await clairgen("report", shards)).err
    assert "is no shard, but a run of its own" in (await clairgen("report", tmp_path)).err


async def test_the_commands_say_what_comes_next(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(12))
    async with ScriptedEndpoint(played) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks))
        for number in (1, 2):
            command = (
                "generate",
                tmp_path / "config.yaml",
                "--run",
                tmp_path / "shards" / str(number),
                "--shard",
                "auto",
            )
            done = await clairgen(
                *command, environment={"SKYPILOT_JOB_RANK": str(number - 1), "SKYPILOT_NUM_JOBS": "2"}
            )
            assert done.code == 0
            assert f"This is shard {number}/2. Next, with all of them: clairgen merge" in done.out
        empty = await clairgen(*command[:3], tmp_path / "empty", "--shard", "999/1000")
        assert "This is shard 999/1000, which has none of the tasks. Next" in empty.out
        part = await clairgen("merge", tmp_path / "shards" / "1", "--run", tmp_path / "all")
        assert "of 12 are in shards that were not merged yet" in part.out
        whole = await clairgen("merge", tmp_path / "shards", "--run", tmp_path / "all")
    assert pairs_in(whole.out, "clair")["made"] == 12
    assert "Next: clairgen report" in whole.out
