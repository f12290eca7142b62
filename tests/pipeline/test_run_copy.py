import asyncio
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.copies.epochs import newest_epoch
from clairgen.copies.objects import allowance_name
from clairgen.copies.storage import FolderStorage
from clairgen.errors import (
    USER,
    ConfigError,
    CopyError,
    CopyStoppedError,
    DrainedError,
    RunError,
    exit_code,
)
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.run_log import last_session
from clairgen.store import RunDirectory, Vote, reading
from clairgen.task_shard import TaskShard
from tests.batch_provider import BatchProvider
from tests.batch_trials import Trial
from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.copies.late_listing import LATE_SECONDS
from tests.runs import config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

EVERY = 0.2
ROLES = ("target", "reviser", "stronger")


def slowly(request: dict[str, Any]) -> Reply:
    return Reply(played(request).body, delay_seconds=0.1)


async def kept(
    url: str, tasks: Path, run: Path, copy: Path | str, *, clock_speed: float = 1.0, limit: int | None = None
) -> tuple[Summary, Progress]:
    """A session with a copy; its clock runs faster than time."""
    progress = Progress()
    options = Options(copy_to=str(copy), copy_every=EVERY, limit=limit)
    runtime = Runtime(clock=lambda: time.monotonic() * clock_speed)
    return await generate(config(url, tasks), run, options, progress=progress, runtime=runtime), progress


async def test_the_same_command_goes_on_in_a_new_directory_and_asks_nothing_again(tmp_path: Path) -> None:
    tasks, copy = write_tasks(tmp_path / "tasks.jsonl", questions(10)), f"memory://{tmp_path}/copy"
    async with ScriptedEndpoint(played) as endpoint:
        _, progress = await kept(endpoint.url, tasks, tmp_path / "run", copy, limit=6)
        assert progress.notes == [f"the copy at {copy} is complete"]
        assert len(endpoint.asked) == 18
        summary, progress = await kept(endpoint.url, tasks, tmp_path / "other machine", copy)
        assert progress.notes[0].startswith(
            f"restored {tmp_path}/other machine from the copy at {copy}: 18 answers and 12 pairs, as"
        )
        assert len(endpoint.asked) == 30
        assert summary.stopped_by is None
        with pytest.raises(CopyError, match="is of another directory of this run"):
            await kept(endpoint.url, tasks, tmp_path / "run", copy)
        with pytest.raises(CopyError, match="has the copy of another run"):
            await kept(endpoint.url, tasks, tmp_path / "third", f"file://{tmp_path}/second copy")
            await kept(endpoint.url, tasks, tmp_path / "other machine", f"file://{tmp_path}/second copy")
        assert len(endpoint.asked) == 30 + 30
    assert (tmp_path / "other machine" / "config.yaml").exists()


async def test_the_copy_has_what_is_done_after_the_last_answer(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    async with ScriptedEndpoint(played) as endpoint:
        await kept(endpoint.url, tasks, tmp_path / "run", tmp_path / "copy")
    assert (await clairgen("restore", tmp_path / "copy", "--run", tmp_path / "restored")).code == 0
    texts = []
    for run in (tmp_path / "run", tmp_path / "restored"):
        async with reading(RunDirectory(run)) as store:
            texts.append(
                (
                    await store.pairs.statuses(),
                    await store.filter_sets.in_force(),
                    await store.metadata.with_prefix("f"),
                )
            )
    assert texts[0] == texts[1]
    for run in (tmp_path / "run", tmp_path / "restored"):
        session = last_session(run / "run.log")
        assert session is not None
        assert session.ended == "done"
        assert session.counters is not None
        assert session.counters.copy is not None
        assert session.counters.copy.failures == 0
        shown = (await clairgen("status", run)).out
        at = f"{session.counted_at:.19}".replace("T", " ")
        assert f"Copy at {tmp_path}/copy, by the log at {at} UTC: 0 s behind; what was done without --copy-to" in shown


async def test_ctrl_c_completes_the_copy(tmp_path: Path) -> None:
    tasks, stop, progress = write_tasks(tmp_path / "tasks.jsonl", questions(60)), asyncio.Event(), Progress()
    options = Options(copy_to=str(tmp_path / "copy"), copy_every=3600)
    async with ScriptedEndpoint(slowly) as endpoint:
        endpoint.on_sent = lambda _: stop.set() if len(endpoint.asked) > 40 else None
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run", options, progress=progress, stop=stop)
        answered = len(endpoint.asked)
        assert isinstance(summary.stopped_by, DrainedError)
        assert progress.notes[-1] == f"the copy at {tmp_path}/copy is complete"
        endpoint.script = played
        await kept(endpoint.url, tasks, tmp_path / "other", tmp_path / "copy")
        assert len(endpoint.asked) == 180 > answered


async def test_what_would_be_no_copy_or_no_estimate_is_refused(tmp_path: Path) -> None:
    tasks, settings = write_tasks(tmp_path / "tasks.jsonl", questions(1)), tmp_path / "config.yaml"
    async with ScriptedEndpoint(played) as endpoint:
        settings.write_text(config_text(endpoint.url, tasks))
        with pytest.raises(ConfigError, match="would be in the run directory itself"):
            await kept(endpoint.url, tasks, tmp_path / "run", tmp_path / "run" / "copy")
        with pytest.raises(ConfigError, match="would be inside of its copy"):
            await kept(endpoint.url, tasks, tmp_path / "copy" / "run", tmp_path / "copy")
        command: list[str | Path] = ["generate", settings, "--copy-to", tmp_path / "copy", "--run"]
        assert (await clairgen(*command, tmp_path / "run", "--dry-run")).code == 0
        await kept(endpoint.url, tasks, tmp_path / "run", tmp_path / "copy")
        refused = await clairgen(*command, tmp_path / "other", "--dry-run")
    assert refused.code == 2
    assert f"is to be restored first: clairgen restore {tmp_path}/copy --run {tmp_path}/other" in refused.err


async def test_a_session_whose_copy_was_taken_over_stops_asking(tmp_path: Path) -> None:
    tasks, copy, settings = write_tasks(tmp_path / "tasks.jsonl", questions(60)), tmp_path / "copy", tmp_path / "c.yaml"
    async with ScriptedEndpoint(slowly) as endpoint:
        settings.write_text(config_text(endpoint.url, tasks))
        command: list[str | Path] = [
            "generate",
            settings,
            "--run",
            tmp_path / "run",
            "--copy-to",
            copy,
            "--copy-every",
            str(EVERY),
        ]
        older = asyncio.create_task(clairgen(*command))
        while len(endpoint.asked) < 40:  # noqa: ASYNC110 - an endpoint sends no signal
            await asyncio.sleep(0.02)
        newer, _ = await kept(endpoint.url, tasks, tmp_path / "other machine", copy)
        stopped = await older
    assert newer.stopped_by is None
    assert stopped.code == 5
    assert "no longer by this process, which stops asking" in stopped.err
    assert "The process that has the run by now makes what is left." in stopped.out
    async with reading(RunDirectory(tmp_path / "run")) as store:
        statuses = await store.pairs.statuses()
    assert sum(counts.get("pending", 0) for counts in statuses.values()) > 0


async def test_a_command_that_is_refused_takes_the_copy_from_nobody(tmp_path: Path) -> None:
    tasks, copy = write_tasks(tmp_path / "tasks.jsonl", questions(12)), str(tmp_path / "copy")
    others = write_tasks(tmp_path / "others.jsonl", questions(20))
    async with ScriptedEndpoint(played) as endpoint:
        settings = config(endpoint.url, tasks)

        async def shard(run: str, number: int) -> Summary:
            options = Options(shard=TaskShard(number, 2), copy_to=copy, copy_every=EVERY)
            return await generate(settings, tmp_path / run, options)

        await shard("first", 1)
        before = newest_epoch(FolderStorage(Path(copy)))
        with pytest.raises(RunError, match="is shard 1/2, and shard 2/2 was asked for"):
            await shard("second", 2)
        with pytest.raises(RunError, match="the tasks changed"):
            await kept(endpoint.url, others, tmp_path / "third", copy)
        assert newest_epoch(FolderStorage(Path(copy))) == before
        assert (await shard("first", 1)).stopped_by is None


async def test_a_run_that_has_a_copy_goes_on_without_it_only_if_that_is_wanted(tmp_path: Path) -> None:
    tasks, run, copy = write_tasks(tmp_path / "tasks.jsonl", questions(3)), tmp_path / "run", tmp_path / "copy"
    async with ScriptedEndpoint(played) as endpoint:
        await kept(endpoint.url, tasks, run, copy, limit=1)
        for one in (run, tmp_path / "restored"):
            if one != run:
                assert (await clairgen("restore", copy, "--run", one)).code == 0
            with pytest.raises(
                CopyError, match=f"another machine may have gone on .* give --copy-to {copy} so that"
            ) as raised:
                await generate(config(endpoint.url, tasks), one)
            assert exit_code(raised.value) == USER
            assert len(endpoint.asked) == 3
        with pytest.raises(ConfigError, match="--no-copy goes on without one; give one of the two"):
            await generate(config(endpoint.url, tasks), run, Options(copy_to=copy, no_copy=True))
        alone = await generate(config(endpoint.url, tasks), run, Options(no_copy=True, limit=2))
        assert (alone.stopped_by, len(endpoint.asked)) == (None, 6)
        await kept(endpoint.url, tasks, run, copy)
        assert len(endpoint.asked) == 9
    assert (await clairgen("restore", copy, "--run", tmp_path / "complete")).out.startswith("Restored")
    assert len(await api.made_pairs(tmp_path / "complete", "clair")) == 3


async def test_a_copy_that_something_else_deletes_from_is_not_called_complete_before_it_is(tmp_path: Path) -> None:
    tasks, copy = write_tasks(tmp_path / "tasks.jsonl", questions(12)), tmp_path / "copy"
    async with ScriptedEndpoint(slowly) as endpoint:
        running = asyncio.create_task(kept(endpoint.url, tasks, tmp_path / "run", copy))
        while len(endpoint.asked) < 10:  # noqa: ASYNC110 - an endpoint sends no signal
            await asyncio.sleep(0.02)
        shutil.rmtree(copy / "00000001-0001" / "snapshots")
        summary, progress = await running
    assert summary.stopped_by is None
    assert [note for note in progress.notes if "of those written to it, so it is made again" in note]
    assert progress.notes[-1] == f"the copy at {copy} is complete"
    restored = await clairgen("restore", copy, "--run", tmp_path / "restored")
    assert "36 answers and 24 pairs" in restored.out, restored.err


async def test_what_a_session_that_was_taken_for_lost_may_spend_until_it_notices_counts(tmp_path: Path) -> None:
    tasks, copy, settings = write_tasks(tmp_path / "tasks.jsonl", questions(2)), tmp_path / "copy", tmp_path / "c.yaml"
    price = {"price_per_million": {"input": 1, "output": 1}}
    async with ScriptedEndpoint(played) as endpoint:
        settings.write_text(config_text(endpoint.url, tasks, budget_usd=5, **dict.fromkeys(ROLES, price)))
        command: list[str | Path] = ["generate", settings, "--copy-to", copy, "--run"]
        assert (await clairgen(*command, tmp_path / "run", "--limit", "1")).code == 0
        assert (await clairgen("restore", copy, "--run", tmp_path / "other")).code == 0
        FolderStorage(copy).put(allowance_name(1, 99, 4 * 10**12), b"")  # as the older session does while it goes on
        assert (await clairgen(*command, tmp_path / "other", "--limit", "1")).code == 0
        assert (await api.status(tmp_path / "other")).spent.total == 4 * 10**12
        for number in (1, 2):  # it counts once
            assert (await clairgen(*command, tmp_path / "other", "--limit", f"{number}")).code == 0
    spent = (await api.status(tmp_path / "other")).spent
    assert 4 * 10**12 < spent.total < 4 * 10**12 + 10**9
    assert spent.open_calls == 1


async def test_a_copy_on_a_storage_that_lists_late_is_kept_and_restored(tmp_path: Path) -> None:
    tasks, copy = write_tasks(tmp_path / "tasks.jsonl", questions(12)), f"late://{tmp_path}/copy"
    async with ScriptedEndpoint(slowly) as endpoint:
        summary, progress = await kept(endpoint.url, tasks, tmp_path / "run", copy, limit=8)
        assert (summary.stopped_by, progress.notes) == (None, [f"the copy at {copy} is complete"])
        with pytest.raises(CopyError, match=r"another process has just taken over .* unless its storage lists late"):
            await kept(endpoint.url, tasks, tmp_path / "too early", copy)
        assert len(endpoint.asked) == 24
        await asyncio.sleep(LATE_SECONDS)
        summary, _ = await kept(endpoint.url, tasks, tmp_path / "other machine", copy)
        assert (summary.stopped_by, len(endpoint.asked)) == (None, 36)


async def test_a_storage_that_fails_is_said_and_stops_the_session_when_too_much_would_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(300))
    put, fails = FolderStorage.put, False

    def failing(storage: FolderStorage, name: str, content: bytes) -> None:
        if fails:
            raise CopyError(f"the copy at {storage.address} cannot be written: No space left on device")
        put(storage, name, content)

    monkeypatch.setattr(FolderStorage, "put", failing)
    async with ScriptedEndpoint(slowly) as endpoint:
        running = asyncio.create_task(kept(endpoint.url, tasks, tmp_path / "run", tmp_path / "copy", clock_speed=60))
        while len(endpoint.asked) < 40:  # noqa: ASYNC110 - an endpoint sends no signal
            await asyncio.sleep(0.02)
        fails = True
        summary, progress = await running
        asked = len(endpoint.asked)
    assert isinstance(summary.stopped_by, CopyStoppedError)
    assert "more than the 60 s that it may be (the copy at" in str(summary.stopped_by)
    assert "No space left on device), so nothing more is asked" in str(summary.stopped_by)
    [note] = [note for note in progress.notes if "No space" in note]
    assert note.endswith("; the run goes on, and stops asking once the copy is more than 60 s behind")
    assert asked < 900
    assert progress.counters(1).copy is not None
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.count('"copy-failed"') >= 2
    fails = False
    async with ScriptedEndpoint(played) as endpoint:
        await kept(endpoint.url, tasks, tmp_path / "run", tmp_path / "copy", limit=20)
    assert (await clairgen("restore", tmp_path / "copy", "--run", tmp_path / "restored")).code == 0


async def test_a_storage_that_hangs_stops_the_session_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(300))
    put, hangs, released = FolderStorage.put, threading.Event(), threading.Event()

    def hanging(storage: FolderStorage, name: str, content: bytes) -> None:
        if hangs.is_set():
            released.wait()
        put(storage, name, content)

    monkeypatch.setattr(FolderStorage, "put", hanging)
    monkeypatch.setattr("clairgen.pipeline.run_copy._CLOSE_SECONDS", 0.1)
    async with ScriptedEndpoint(slowly) as endpoint:
        endpoint.on_sent = lambda _: hangs.set()
        summary, _ = await kept(endpoint.url, tasks, tmp_path / "run", tmp_path / "copy", clock_speed=100)
        assert len(endpoint.asked) < 900
    released.set()
    assert isinstance(summary.stopped_by, CopyStoppedError)
    assert "s behind, more than the 60 s that it may be, so nothing more is asked" in str(summary.stopped_by)


async def test_a_process_that_was_stopped_for_long_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clairgen.pipeline.copy_lag._STOPPED_SECONDS", 0.7)
    tasks, ahead = write_tasks(tmp_path / "tasks.jsonl", questions(20)), [0.0]

    def stopping(request: dict[str, Any]) -> Reply:
        if len(endpoint.asked) == 20:
            time.sleep(0.8)  # all that runs in this process waits
            ahead[0] = 100.0
        return slowly(request)

    async with ScriptedEndpoint(stopping) as endpoint:
        options = Options(copy_to=str(tmp_path / "copy"), copy_every=EVERY)
        runtime = Runtime(clock=lambda: time.monotonic() + ahead[0])
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run", options, runtime=runtime)
    assert len(endpoint.asked) == 60
    assert summary.stopped_by is None


async def test_a_storage_that_fails_at_the_start_costs_nothing(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    (tmp_path / "copy").write_text("a file")
    async with ScriptedEndpoint(played) as endpoint:
        with pytest.raises(CopyError, match="copy cannot be written"):
            await kept(endpoint.url, tasks, tmp_path / "run", tmp_path / "copy")
        assert endpoint.asked == []


async def test_votes_beside_a_session_are_in_its_copy(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(40)), tmp_path / "run"
    async with ScriptedEndpoint(played) as endpoint:
        await kept(endpoint.url, tasks, run, tmp_path / "copy", limit=3)
        [pair, *_] = [stored.id for stored in await api.made_pairs(run, "clair")]
        endpoint.script = slowly
        running = asyncio.create_task(kept(endpoint.url, tasks, run, tmp_path / "copy"))
        while len(endpoint.asked) < 40:  # noqa: ASYNC110 - an endpoint sends no signal
            await asyncio.sleep(0.02)
        for voter in range(5):
            await api.cast_vote(run, pair, Vote.KEEP, f"voter {voter}")
        await running
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {"epochs", "00000001-0001", "00000002-0001"}
    assert (await clairgen("restore", tmp_path / "copy", "--run", tmp_path / "restored")).code == 0
    async with reading(RunDirectory(tmp_path / "restored")) as store:
        assert len(await store.votes.of_pair(pair)) == 5


async def test_a_batch_that_was_created_before_the_machine_was_lost_is_collected_on_another(tmp_path: Path) -> None:
    options = Options(copy_to=str(tmp_path / "copy"), copy_every=3600)
    async with BatchProvider(played) as provider:
        trial = Trial(tmp_path, provider)
        session = asyncio.create_task(trial.generate(options))
        while not provider.batches:  # noqa: ASYNC110 - a provider sends no signal
            await asyncio.sleep(0.002)
        session.cancel()
        with pytest.raises(asyncio.CancelledError):
            await session
        shutil.rmtree(trial.run)
        await trial.generate(options)
        assert len(provider.batches) == 1
        assert not provider.paid_twice
    await trial.check_pairs()


@pytest.mark.process
async def test_a_machine_that_is_lost_costs_what_was_committed_since_the_last_interval(tmp_path: Path) -> None:
    tasks, settings = write_tasks(tmp_path / "tasks.jsonl", questions(100)), tmp_path / "config.yaml"
    answered: dict[int, float] = {}
    async with ScriptedEndpoint(slowly) as endpoint:
        endpoint.on_sent = lambda request: answered.__setitem__(request["seed"], time.monotonic())
        settings.write_text(config_text(endpoint.url, tasks, **{role: {"concurrency": 2} for role in ROLES}))
        command: list[str | Path] = [
            "generate",
            settings,
            "--copy-to",
            tmp_path / "copy",
            "--copy-every",
            "0.5",
            "--run",
        ]
        async with forked(*command, tmp_path / "machine") as running:
            while not answered or time.monotonic() < min(answered.values()) + 3:  # noqa: ASYNC110 - an endpoint sends no signal
                await asyncio.sleep(0.02)
            running.send_signal(signal.SIGKILL)
            killed_at = time.monotonic()
            await running.wait()
        await endpoint.clients_gone()
        before, asked = dict(answered), len(endpoint.asked)
        endpoint.script = played
        done = await clairgen(*command, tmp_path / "another machine")
        again = [killed_at - before[request["seed"]] for request in endpoint.asked[asked:] if request["seed"] in before]
    assert done.code == 0, done.err
    assert "Note: restored" in done.err
    assert "is complete" in done.err
    slack = 2.0  # a busy machine may be late
    assert 0.5 + slack < killed_at - min(before.values())
    assert max(again, default=0.0) < 0.5 + slack
