import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from clairgen.errors import RequestFailedError
from clairgen.long_texts import LONG_CHARACTERS, Workers, close_workers, in_thread, off_loop
from clairgen.metrics.contrast import character_levenshtein, contrast
from clairgen.parsing.revision import parse_revision
from clairgen.parsing.verdict import parse_verdict

pytestmark = pytest.mark.process

LONG = "a long text " * (LONG_CHARACTERS // 6)


def process_id(text: str) -> int:
    del text
    return os.getpid()


def failing(text: str) -> None:
    raise ValueError(f"{len(text)} characters")


def dying(text: str) -> None:
    os._exit(len(text) % 2 + 1)


def printing(text: str) -> int:
    print("not an answer")  # noqa: T201 - as a careless plugin would
    return len(text)


def sleeping(text: str) -> None:
    time.sleep(len(text))


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers(time_limit_seconds=60, most=1)
    yield workers
    await workers.close()


async def test_short_texts_are_worked_on_here_and_long_ones_in_one_other_process() -> None:
    assert await off_loop(process_id, "short") == os.getpid()
    first, again = [await off_loop(process_id, LONG) for _ in range(2)]
    await close_workers()
    assert first == again != os.getpid()


async def test_what_another_process_reads_and_measures_is_the_same() -> None:
    reply = "{teacher_reasoning}: \ud800 weak\n\n{corrected_student_solution}: " + LONG
    try:
        assert await off_loop(parse_revision, reply, rejected="x") == parse_revision(reply, rejected="x")
        assert await off_loop(parse_verdict, "[2]", (LONG, "x")) == parse_verdict("[2]", (LONG, "x"))
        assert await off_loop(contrast, LONG, "x", "word") == contrast(LONG, "x", "word")
    finally:
        await close_workers()


async def test_work_that_takes_too_long_fails_by_name_and_later_work_is_done() -> None:
    workers = Workers(time_limit_seconds=1, most=1)
    try:
        with pytest.raises(
            RequestFailedError, match="too-long-to-measure: work on texts of 40 characters took more than 1 s"
        ):
            await workers.run(sleeping, "x" * 40)
        workers._time_limit_seconds = 60
        assert await workers.run(character_levenshtein, "ab", "ac") == 1
    finally:
        await workers.close()


async def test_a_process_that_dies_fails_its_task_by_name(workers: Workers) -> None:
    with pytest.raises(
        RequestFailedError, match="too-long-to-measure: the process for texts of 4 characters ended with 1"
    ):
        await workers.run(dying, "text")
    assert await workers.run(printing, "text") == 4


async def test_what_a_killed_process_was_to_do_is_done_by_a_new_one_however_many_are_killed() -> None:
    workers = Workers(time_limit_seconds=60, most=2)
    try:
        killed = await asyncio.gather(*(workers.run(process_id, "text") for _ in range(2)))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert await workers.run(process_id, "text") not in killed
    finally:
        await workers.close()


async def test_other_errors_are_those_of_the_work(workers: Workers) -> None:
    with pytest.raises(RuntimeError, match="ValueError: 4 characters"):
        await workers.run(failing, "text")
    with pytest.raises(
        RequestFailedError, match="too-long-to-measure: the answers have 600,000 and 600,000 characters"
    ):
        await workers.run(contrast, "x" * 600_000, "y" * 600_000)


async def test_cancelled_work_is_killed(workers: Workers) -> None:
    task = asyncio.create_task(workers.run(sleeping, "x" * 50))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await workers.run(printing, "text") == 4


async def test_a_session_that_ends_lets_the_work_of_another_one_end() -> None:
    working = asyncio.create_task(off_loop(process_id, LONG))
    await asyncio.sleep(0.05)
    await close_workers()
    pid = await working
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_filters_see_long_texts_in_a_thread() -> None:
    assert await in_thread(asyncio.current_task, "short") is not None
    with pytest.raises(RuntimeError, match="no running event loop"):
        await in_thread(asyncio.current_task, LONG)
