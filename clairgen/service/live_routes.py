"""Runs that go on, over HTTP: their progress, their events as a stream, and the page that shows them."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from clairgen.pipeline.log_tail import LoggedLine, Point
from clairgen.pipeline.progress import Counters
from clairgen.pipeline.progress_words import (
    availability_words,
    money_words,
    pairs_words,
    rate_limit_words,
    time_left_words,
)
from clairgen.pipeline.run_log import WAITS_FOR_BATCHES
from clairgen.service.answers import Answered, in_ascii
from clairgen.service.api_routes import RunName
from clairgen.service.live_runs import Glance, LiveRuns, News, Version
from clairgen.service.rendering import page, part
from clairgen.service.runs import Runs
from clairgen.store import RunDirectory

_PING_LOOKS: Final = 15
_MOST_STATES: Final = 32
_LONGEST: Final = 500
_WORDS: Final = {
    "waits_for_batches": WAITS_FOR_BATCHES,
    "pairs_words": pairs_words,
    "money_words": money_words,
    "time_left_words": time_left_words,
    "rate_limit_words": rate_limit_words,
    "availability_words": availability_words,
}
LastEventId = Annotated[str | None, Header(max_length=100, description="The id of the last event that was received.")]
Pieces = Callable[[AsyncIterator[News]], AsyncIterator[bytes]]


class EventStream(StreamingResponse):
    """A stream of events of a run that goes on; `close` is called at its end, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], close: Callable[[], None]) -> None:
        super().__init__(content, headers={"X-Accel-Buffering": "no"})  # proxies pass each event on at once
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def live_routes(runs: Runs, live: LiveRuns) -> APIRouter:
    """The routes over some runs."""
    routes = APIRouter()
    states: OrderedDict[RunDirectory, tuple[Version, bytes]] = OrderedDict()

    async def stream(directory: RunDirectory, position: str | None, events: Pieces) -> Response:
        await live.glance(directory)  # what is wrong with the log is said before a stream begins
        with ExitStack() as stack:
            news = stack.enter_context(live.following(directory, position))
            return EventStream(events(news), stack.pop_all().close)

    def state_of(directory: RunDirectory, glance: Glance) -> bytes:
        """The state of a run as the page shows it, rendered once for all who see it."""
        kept = states.pop(directory, None)
        if kept is None or kept[0] != glance.version:
            html = part("live_state.html", _values(glance)).encode("utf-8", "backslashreplace").decode()
            kept = glance.version, format_sse_event(data_str=html, id=glance.position)
        states[directory] = kept
        while len(states) > _MOST_STATES:
            states.popitem(last=False)
        return kept[1]

    @routes.get("/api/runs/{run}/progress", response_model=dict[str, Any], summary="What its session does")
    async def run_progress(run: RunName) -> Answered:
        glance = await live.glance(runs.directory(run))
        events = [one.facts for one in reversed(glance.events)]
        return Answered({**glance.to_json(), "events": events, "history": glance.history.points()})

    @routes.get(
        "/api/runs/{run}/events",
        response_class=Response,
        responses={
            200: {"content": {EventStream.media_type: {}}},
            204: {"description": "Nothing runs, and `Last-Event-ID` is the last event."},
        },
        summary="The same while it goes on, as a stream",
    )
    async def run_events(run: RunName, last_event_id: LastEventId = None) -> Response:
        directory = runs.directory(run)
        glance = await live.glance(directory)
        if last_event_id and last_event_id == glance.position and not glance.running:
            return Response(status_code=204)  # which ends a browser's attempts to go on
        return await stream(directory, last_event_id, _events)

    @routes.get("/runs/{run}/live", include_in_schema=False)
    async def live_page(request: Request, run: RunName, refresh: Annotated[int, Query(ge=0, le=3600)] = 0) -> Response:
        glance = await live.glance(runs.directory(run))
        values = {"run": run, "refresh": refresh, "position": glance.position, "points": _rows(glance.history.points())}
        return page(request, "live.html", {**values, **_values(glance)})

    @routes.get("/runs/{run}/live/events", include_in_schema=False)
    async def live_stream(
        run: RunName, after: Annotated[str | None, Query(max_length=100)] = None, last_event_id: LastEventId = None
    ) -> Response:
        directory = runs.directory(run)
        return await stream(directory, last_event_id or after, lambda news: _states(news, partial(state_of, directory)))

    return routes


async def _events(news: AsyncIterator[News]) -> AsyncIterator[bytes]:
    """The state of a run, then each line of its log, and `end` once its session has ended."""

    def sent(one: News, before: Glance | None) -> Iterator[bytes]:
        if before is None:
            yield _event("state", one.glance.to_json(), None if one.is_resumed else one.glance.position)
        if one.missed:
            yield _event("missed", {"lines": one.missed})
        yield from (line.encoded for line in one.lines)

    async for piece in _kept_alive(news, sent, lambda last: _event("end", last.to_json(), last.position)):
        yield piece


async def _states(news: AsyncIterator[News], state_of: Callable[[Glance], bytes]) -> AsyncIterator[bytes]:
    """For the page: points for its charts, and its state each time that it is another one."""

    def sent(one: News, before: Glance | None) -> Iterator[bytes]:
        if points := [line.point for line in one.lines if line.point is not None]:
            yield _event("points", _rows(points))
        if before is None or before.version != one.glance.version:
            yield state_of(one.glance)

    async for piece in _kept_alive(news, sent, lambda _: _event("end", {})):
        yield piece


async def _kept_alive(
    news: AsyncIterator[News],
    sent: Callable[[News, Glance | None], Iterator[bytes]],
    end: Callable[[Glance], bytes],
) -> AsyncIterator[bytes]:
    """What is `sent` of news, after how the run stood before; a comment where that is nothing for long; and the end.

    Also of news without anything to send there is a piece, an empty one, by which a server notices that the client is gone.
    """
    silent, glance = 0, None
    async for one in news:
        pieces = list(sent(one, glance))
        glance, silent = one.glance, 0 if pieces else silent + 1
        if silent >= _PING_LOOKS:
            pieces, silent = [KEEPALIVE_COMMENT], 0
        yield b"".join(pieces)
    if glance is not None and not glance.running:
        yield end(glance)


def _event(name: str, content: object, position: str | None = None) -> bytes:
    return format_sse_event(data_str=in_ascii(content), event=name, id=position)


def _rows(points: Sequence[Point]) -> list[list[float | None]]:
    return [[one.at, one.answers_per_second, one.spent_usd, one.in_flight] for one in points]


def _values(glance: Glance) -> dict[str, Any]:
    """What the page shows of a run's state."""
    counters = None if glance.session is None else glance.session.counters
    return {
        "glance": glance,
        "counters": counters,
        "events": [_event_words(one) for one in glance.events],
        "announcement": glance.words if counters is None else f"{glance.words}, {_tenths(counters)}% done",
        **_WORDS,
    }


def _tenths(counters: Counters) -> int:
    """How much is done in percent, down to the next ten, so that a screen reader says it ten times and not at every pair."""
    return 10 * (10 * counters.done // max(counters.pairs_to_make, 1))


def _event_words(one: LoggedLine) -> tuple[str, str, str]:
    """When something happened, what, and in which words."""
    facts = one.facts
    words_of = {
        "note": lambda: str(facts.get("text", "")),
        "failed": lambda: f"task {facts.get('task')} of {facts.get('recipe')}: {facts.get('reason')}",
        "started": lambda: f"{facts.get('pairs_to_make', '?')} to make",
        "batch_collected": lambda: f"{facts.get('requests')} requests of {facts.get('role')}",
        "batch_ended": lambda: f"{facts.get('status')}, of {facts.get('role')}",
        "ended": lambda: str(facts.get("stopped_by") or "done"),
    }
    words = words_of[one.event]() if one.event in words_of else ""
    return str(facts["at"])[:19].replace("T", " "), one.event[:_LONGEST], words[:_LONGEST]
