"""Calls about batches: long waits are said and can be left, and no batch is cancelled that may be another run's."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from clairgen.config.batch_settings import BatchSettings
from clairgen.errors import EndpointsError, RetryableError
from clairgen.inference.file_batches import FileBatches
from clairgen.pipeline.batch_lane.provider_account import EnqueuedTokens, ProviderAccount
from clairgen.pipeline.cancel_batches import cancel_batches
from clairgen.pipeline.progress import Progress
from tests.batch_provider import BatchProvider, StoredBatch
from tests.batch_trials import TASKS, Trial
from tests.clocks import FakeClock
from tests.runs import played
from tests.scripted import Reply, refused

if TYPE_CHECKING:
    from clairgen.store import Store


async def test_a_long_wait_that_a_provider_asks_for_is_said_once_and_can_be_left(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()

        def call(_method: str, path: str) -> Reply | None:
            if provider.calls["POST /batches"] == 2:
                loop.call_later(0.2, stopped.set)
            return refused(429, "Rate limit reached", retry_after="86400") if path == "/batches" else None

        provider.call = call
        trial = Trial(tmp_path, provider)
        await asyncio.wait_for(trial.generate(batch={"requests": 3}, stopped=stopped), 10)
        said = [note for note in trial.progress.notes if "asks to wait" in note]
        assert len(said) == 1  # of two batches
        assert (
            "asks to wait 3600 s before the next call about a batch of reviser (HTTP 429: Rate limit reached" in said[0]
        )
        [event] = [line for line in (trial.run / "run.log").read_text().splitlines() if "batch_call_waits" in line]
        facts = json.loads(event)
        assert (facts["role"], facts["reason"], facts["seconds"]) == ("reviser", "rate-limited", 3600)


@pytest.mark.parametrize(
    ("reason", "hours", "ends"), [("rate-limited", 0.9, True), ("rate-limited", 1.2, False), ("timed-out", 0.1, False)]
)
async def test_calls_that_get_429_are_repeated_for_an_hour_as_they_are_directly(
    reason: str, hours: float, ends: bool, tmp_path: Path
) -> None:
    clock, progress = FakeClock(), Progress()
    settings, no_store = BatchSettings.model_validate({}), cast("Store", None)
    account = ProviderAccount(
        "reviser",
        FileBatches(tmp_path),
        settings,
        patience_seconds=60,
        store=no_store,
        folder=tmp_path,
        clock=clock,
        wall_clock=clock,
        sleep=clock.sleep,
        progress=progress,
        enqueued=EnqueuedTokens(None),
    )
    busy_until = clock.seconds + hours * 3600

    async def call() -> str:
        if clock.seconds < busy_until:
            raise RetryableError(reason, "HTTP 429: no", status=429, retry_after_seconds=70)
        return "answered"

    if ends:
        assert await account.persistently(call) == "answered"
    else:
        with pytest.raises(EndpointsError, match="batches cannot go on"):
            await account.persistently(call)
    assert (max(clock.slept), progress.notes != []) == (70, True)


def of_another_run(provider: BatchProvider) -> None:
    """The provider keeps no metadata and names equal files alike: another run has a batch of the same requests."""

    def sent(method: str, path: str, reply: Reply) -> Reply:
        if (method, path) == ("POST", "/batches") and "batch_900" not in provider.batches:
            [mine] = provider.batches.values()
            other = StoredBatch("batch_900", mine.input_file_id, None, mine.created_at, [], lines=mine.lines)
            other.states = ["in_progress"] * 1000
            provider.batches[other.id] = other
        for batch in provider.batches.values():
            batch.metadata = None
        content = json.loads(reply.body) if path.startswith("/batches") and reply.status == 200 else None
        return Reply(json.dumps(content | {"metadata": None}).encode()) if content else reply

    provider.sent = sent


async def test_a_batch_without_our_id_is_never_cancelled(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        of_another_run(provider)
        trial = Trial(tmp_path, provider)
        assert (await trial.generate(batch={"requests": TASKS, "quiet_seconds": 0.3})).stopped_by is None
        await trial.check_pairs()
        assert provider.batches["batch_900"].status != "cancelling"
        assert provider.calls["POST /batches/ID/cancel"] == 0
        assert [note for note in trial.progress.notes if "(batch_900)" in note and "left alone" in note]
        assert trial.rows("SELECT count(*) FROM batches") == [(1,)]
        assert provider.paid_twice == {}
        trial.check_account()


async def test_a_batch_that_was_found_by_its_file_alone_is_taken_in_and_never_cancelled(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress"] * 1000

        def sent(method: str, path: str, reply: Reply) -> Reply | None:
            for batch in provider.batches.values():
                batch.metadata = None
            return None if (method, path) == ("POST", "/batches") else reply

        provider.sent = sent
        provider.call = lambda *_: stopped.set() if provider.calls["GET /batches/ID"] == 3 else None
        trial, stopped = Trial(tmp_path, provider), asyncio.Event()
        await trial.generate(stopped=stopped, batch={"requests": TASKS, "quiet_seconds": 0.3})
        [batch] = provider.batches.values()
        assert batch.status == "in_progress"
        progress = Progress()
        provider.go_on()
        assert await cancel_batches(trial.run, progress=progress) == {"completed": 1}
        assert any("is not cancelled: it was found by its file alone" in note for note in progress.notes)
        assert provider.calls["POST /batches/ID/cancel"] == 0
        assert (await trial.generate(batch={"requests": TASKS, "quiet_seconds": 0.3})).stopped_by is None
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})
