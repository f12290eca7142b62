import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.errors import DrainedError, RequestFailedError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.long_texts import LONG_CHARACTERS, close_workers
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.pair_measures import Measures, PairMeasures
from clairgen.records import Answer, Message, Pair, ParseStatus, Undecided
from tests.cli.forked import Forked, forked
from tests.other_processes import is_running
from tests.runs import TARGET, config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

pytestmark = pytest.mark.process

SETTINGS = FilterSettings()
PROMPT = (Message("user", "Why is the sky blue?"),)
TEXT = "the sky is blue since air scatters short waves of light, I can't help; here is the revised answer: 42"


class Deadly(Message):
    """A message that ends the process which reads it, or is a number there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (3,)) if self.content == "ends" else (int, (self.content,))


def written(seed: int, words: int) -> str:
    return " ".join(random.Random(seed).choices(TEXT.split(), k=words))


def pair(number: int, words: int = 60) -> Pair:
    chosen, rejected = [Answer(written(seed, words), "stop", f"key-{seed}", "m") for seed in (number, number + 1)]
    return Pair(f"task-{number}", "clair", chosen, rejected)


@pytest.fixture(autouse=True)
async def no_processes_left() -> AsyncIterator[None]:
    yield
    await close_workers()


@asynccontextmanager
async def other_processes(jobs: int = 1, most_elsewhere: int = 96) -> AsyncIterator[PairMeasures]:
    """Measures that go to other processes from now on, since a pair has taken a second of each here."""
    async with PairMeasures(
        SETTINGS, "treebank", jobs=jobs, most_elsewhere=most_elsewhere, clock=count().__next__
    ) as measures:
        while not measures.elsewhere:
            await measures.of(pair(0), PROMPT, revises=True)
            await asyncio.sleep(0.01)
        yield measures
    await close_workers()


async def here(outcome: Pair | Undecided, revises: bool = True) -> Measures:
    async with PairMeasures(SETTINGS, "treebank", jobs=0) as measures:
        return await measures.of(outcome, PROMPT, revises=revises)


def children(pid: int) -> list[int]:
    """The processes that measure for a process."""
    found = [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [int(child) for child in found if b"long_texts" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def test_other_processes_measure_and_find_the_same() -> None:
    outcomes: list[Pair | Undecided] = [pair(number) for number in range(150)]
    outcomes += [pair(200, words=LONG_CHARACTERS // 6), pair(201, words=0)]
    outcomes.append(Undecided("t", "clair", ParseStatus.EMPTY_SOLUTION, (Answer("", "length", "k", "m"),)))
    async with other_processes(jobs=2) as measures:
        found = await asyncio.gather(*(measures.of(one, PROMPT, revises=True) for one in outcomes))
    assert found == [await here(one) for one in outcomes]
    assert len({finding.filter for _, findings in found for finding in findings}) > 3


async def test_pairs_beyond_those_that_may_be_elsewhere_are_measured_here() -> None:
    async with other_processes(most_elsewhere=1) as measures:
        first = asyncio.create_task(measures.of(pair(0), PROMPT, revises=True))
        await asyncio.sleep(0)
        second = await measures.of(pair(1), PROMPT, revises=True)
        assert not first.done()
        assert [await first, second] == [await here(pair(0)), await here(pair(1))]


async def test_a_process_that_is_killed_is_replaced_and_its_pairs_are_measured_again() -> None:
    async with other_processes() as measures:
        (before,) = children(os.getpid())
        os.kill(before, signal.SIGKILL)
        found = await asyncio.gather(*(measures.of(pair(number), PROMPT, revises=True) for number in range(40)))
        (after,) = children(os.getpid())
        assert after != before
    assert found == [await here(pair(number)) for number in range(40)]
    assert not is_running(after)


@pytest.mark.parametrize(
    ("text", "error"),
    [("ends", "each process that measured these answers of .* ended with 3"), ("7", "AttributeError: 'int' object")],
)
async def test_a_pair_that_ends_its_process_or_fails_there_affects_no_other(text: str, error: str) -> None:
    async with other_processes() as measures:
        bad = asyncio.create_task(measures.of(pair(1), (Deadly("user", text),), revises=True))
        found = await asyncio.gather(*(measures.of(pair(number), PROMPT, revises=True) for number in range(3)))
        with pytest.raises((RequestFailedError, RuntimeError), match=error):
            await bad
    assert found == [await here(pair(number)) for number in range(3)]


async def test_a_slow_run_and_one_that_is_told_so_start_no_process() -> None:
    seconds: Iterator[float] = count(0, 0.1)
    async with PairMeasures(SETTINGS, "treebank", jobs=0, clock=seconds.__next__) as measures:
        for number in range(10):
            await measures.of(pair(number), PROMPT, revises=True)
    ticks = (start + part for start in count(0, 100) for part in (0.0, 0.1))  # 0.1 s of each 100
    next(ticks)
    async with PairMeasures(SETTINGS, "treebank", jobs=1, clock=ticks.__next__) as slow:
        for number in range(10):
            await slow.of(pair(number), PROMPT, revises=True)
        await asyncio.sleep(0)
    assert not measures.elsewhere
    assert not children(os.getpid())


async def test_a_session_that_is_stopped_commits_the_pairs_that_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clairgen.pipeline.pair_measures._SECONDS_HERE", 0.0)
    monkeypatch.setattr("clairgen.pipeline.pair_measures._SHARE", 0.0)
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(400))
    stop, answered = asyncio.Event(), count(1)

    def script(request: dict[str, Any]) -> Reply:
        if next(answered) > 100 and children(os.getpid()):
            stop.set()
        return Reply(played(request).body, delay_seconds=0.05)

    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, tasks, recipes=["stronger-preferred"])
        summary = await generate(given, tmp_path / "run", stop=stop)
    made = summary.statuses["stronger-preferred"]["made"]
    assert isinstance(summary.stopped_by, DrainedError)
    assert 8 <= made < 400
    assert made == len(await api.made_pairs(tmp_path / "run", "stronger-preferred"))
    assert not children(os.getpid())


def at_length(request: dict[str, Any]) -> Reply:
    """Answers that take longer to measure than to send."""
    number = int(request["messages"][-1]["content"].split()[2])
    return Reply(said(written(number + 1000 * (request["model"] == TARGET), 1700)).body, delay_seconds=0.05)


async def measuring(running: Forked) -> list[int]:
    """The processes that measure for a command, once there are any."""
    while not (found := children(running.pid)):
        assert is_running(running.pid)
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    return found


async def test_a_run_that_is_killed_while_others_measure_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(150))
    path, run, whole = tmp_path / "config.yaml", tmp_path / "run", tmp_path / "whole"
    async with ScriptedEndpoint(at_length) as endpoint:
        path.write_text(config_text(endpoint.url, tasks, recipes=["stronger-preferred"]))
        async with forked("generate", path, "--run", run, "--jobs", "1") as running:
            others = await measuring(running)
            running.send_signal(signal.SIGKILL)
            assert await running.wait() == -signal.SIGKILL
        while any(map(is_running, others)):  # noqa: ASYNC110 - of another process there is no event
            await asyncio.sleep(0.02)
        given = config(endpoint.url, tasks, recipes=["stronger-preferred"])
        await generate(given, run)
        asked = len(endpoint.asked)
        await generate(given, whole, Options(reuse=(run,), jobs=0))
        assert len(endpoint.asked) == asked
    made, undisturbed = [await api.made_pairs(one, "stronger-preferred") for one in (run, whole)]
    assert made == undisturbed
    assert len(made) == 150
