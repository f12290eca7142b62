"""Runs that go on, as events, and as the page that shows them."""

import asyncio
import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clairgen.pipeline.log_tail import LogTail
from clairgen.service import live_runs
from clairgen.service.live_runs import LiveRuns, News, TooManyReadersError
from clairgen.store import RunDirectory
from tests.pipeline.test_log_tail import add, counted, line
from tests.service.served import made, rows, served

NOW = datetime.datetime(2026, 6, 1, 10, 0, 30, tzinfo=datetime.UTC)
HOSTILE = "<script>alert(1)</script>\u202e\n\nevent: end"


def events(body: str) -> list[tuple[str, Any, str | None]]:
    """Name, data and id of each event of a stream."""
    found = []
    for block in body.split("\n\n")[:-1]:
        fields = dict(one.split(": ", 1) for one in block.split("\n"))
        found.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
    return found


async def ended(root: Path, *middle: str) -> Path:
    run = await made(root, rows(3))
    add(run / "run.log", line(0, "started", pairs_to_make=10), counted(5, 5.0, 10, 0.5), *middle, line(9, "ended"))
    return run


async def test_a_run_that_has_ended_is_a_state_and_an_end(tmp_path: Path) -> None:
    await ended(tmp_path / "runs")
    async with served(tmp_path / "runs") as client:
        answer = await client.get("/api/runs/first/events")
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        [(first, state, position), (last, end, _)] = events(answer.text)
        assert (first, last, state == end) == ("state", "end", True)
        assert (state["state"], state["running"], state["counters"]["money"]["spent_usd"]) == ("ended", False, 0.5)
        again = await client.get("/api/runs/first/events", headers={"Last-Event-ID": position or ""})
        assert (again.status_code, again.text) == (204, "")
        assert (await client.get("/api/runs/second/events")).status_code == 404


async def test_a_stream_goes_on_after_the_last_event_that_was_received(tmp_path: Path) -> None:
    run = await ended(
        tmp_path / "runs", line(6, text="one"), line(7, "attempt_failed"), line(8, "surprise", text=HOSTILE)
    )
    async with served(tmp_path / "runs") as client:
        progress = (await client.get("/api/runs/first/progress")).json()
        assert [one["event"] for one in progress["events"]] == ["started", "note", "surprise", "ended"]
        assert [one["answers_per_second"] for one in progress["history"]] == [None]
        offset = len(line(0, "started", pairs_to_make=10)) + len(counted(5, 5.0, 10, 0.5))
        whole = events((await client.get("/api/runs/first/events")).text)
        after = re.sub(r"\d+$", str(offset), whole[0][2] or "")
        found = events((await client.get("/api/runs/first/events", headers={"Last-Event-ID": after})).text)
        assert [name for name, _, _ in found] == ["state", "note", "other", "ended", "end"]
        assert found[2][1]["text"] == HOSTILE
        assert found[0][2] is None
        (run / "run.log").write_text(line(60, "started", pairs_to_make=1) + line(61, "ended", stopped_by="BudgetError"))
    async with served(tmp_path / "runs") as client:
        fresh = events((await client.get("/api/runs/first/events", headers={"Last-Event-ID": after})).text)
        assert [name for name, _, _ in fresh] == ["state", "end"]
        assert fresh[0][1]["state"] == "stopped (BudgetError)"


async def test_the_page_shows_the_state_at_load_as_text_and_without_a_script(tmp_path: Path) -> None:
    run = await ended(tmp_path / "runs", line(6, text=HOSTILE))
    async with served(tmp_path / "runs") as client:
        page = (await client.get("/runs/first/live")).text
        assert "0 of 10 pairs, 0 failed" in page
        assert "hx-sse:connect" not in page  # nothing more will come
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert 'href="/runs/first/live?refresh=10"' in page
        assert '<meta http-equiv="refresh" content="10">' in (await client.get("/runs/first/live?refresh=10")).text
        (run / "run.log").unlink()
        (run / "run.log").write_text("no log\n" * 3)
    async with served(tmp_path / "runs") as client:
        page = (await client.get("/runs/first/live")).text
        assert "No session of this run has written a log yet" in page
        assert "3 lines of the log could not be read" in page
        stream = (await client.get("/runs/first/live/events")).text
        assert stream.endswith("event: end\ndata: {}\n\n")


async def followed(live: LiveRuns, run: RunDirectory, position: str | None = None) -> list[News]:
    with live.following(run, position) as news:
        return [one async for one in news]


class Clock:
    """A clock that is set by hand: seconds, and the time of day by them."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """The seconds."""
        return self.seconds

    def now(self) -> datetime.datetime:
        """The time of day."""
        return NOW + datetime.timedelta(seconds=self.seconds)


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> tuple[LiveRuns, Clock, Callable[[float], Any]]:
    """Runs that are looked at by a clock that is set by hand, and how to let time pass."""
    monkeypatch.setattr(live_runs, "_LOOK_SECONDS", 0.002)
    clock = Clock()

    async def wait(seconds: float) -> None:
        clock.seconds += seconds
        await asyncio.sleep(0.05)

    return LiveRuns(None, clock, clock.now), clock, wait


async def test_fifty_readers_share_one_reading_of_the_log(
    tmp_path: Path, looking: tuple[LiveRuns, Clock, Callable[[float], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    live, _, wait = looking
    reads = 0
    real = LogTail.read

    def counting(tail: LogTail) -> Any:  # noqa: ANN401 - as it returns
        nonlocal reads
        reads += 1
        return real(tail)

    monkeypatch.setattr(LogTail, "read", counting)
    run = RunDirectory(tmp_path)
    add(run.events, line(28, "started"))
    readers = [asyncio.ensure_future(followed(live, run)) for _ in range(50)]
    await wait(0)
    add(run.events, line(30, text="a"))
    await wait(1)
    for _ in range(200):
        if reads:
            break
        await asyncio.sleep(0.05)  # a busy machine begins to read later
    assert reads == 1
    add(run.events, line(31, "ended"))
    await wait(1)
    for found in await asyncio.gather(*readers):
        assert [one.line.event for news in found for one in news.lines] == ["note", "ended"]
        assert [found[0].glance.running, found[-1].glance.running] == [True, False]
    assert reads == 2
    await wait(10)
    assert reads == 2  # nobody looks


async def test_a_run_that_was_killed_ends_its_streams_and_a_slow_reader_is_told_what_it_missed(
    tmp_path: Path, looking: tuple[LiveRuns, Clock, Callable[[float], Any]]
) -> None:
    live, clock, _ = looking
    run = RunDirectory(tmp_path)
    add(run.events, line(28, "started"))
    with live.following(run) as news:
        assert (await anext(news)).lines == []
        add(run.events, *(line(30, text=str(n)) for n in range(600)))
        clock.seconds += 1
        late = await anext(news)
        assert (late.missed, len(late.lines), late.lines[-1].line.facts["text"]) == (88, 512, "599")
        clock.seconds += 30
        last = await anext(news)
        assert last.glance.words.startswith("not running")
        with pytest.raises(StopAsyncIteration):
            await anext(news)


async def test_streams_are_limited_in_number_and_end_with_the_service(tmp_path: Path) -> None:
    stopping = asyncio.Event()
    live = LiveRuns(stopping, now=lambda: NOW)
    run = RunDirectory(tmp_path)
    add(run.events, line(28, "started"))
    readers = [asyncio.ensure_future(followed(live, run)) for _ in range(live_runs.MOST_READERS)]
    await asyncio.sleep(0.05)
    with pytest.raises(TooManyReadersError, match="128 readers follow runs already"), live.following(run):
        pass
    stopping.set()
    found = await asyncio.wait_for(asyncio.gather(*readers), 5)
    assert all(news[-1].glance.running for news in found)
    with live.following(run):
        pass
