"""`run.log`: what happened in a run, one JSON object per line, for programs and for looking into it later.

It contains no key, and neither prompts nor answers nor what servers say about them, unless the user wants them. Its size is
bounded: beyond `MAX_BYTES` the file becomes run.log.1, which replaces the one before; the database keeps everything.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import itertools
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from clairgen.errors import DetachedError
from clairgen.pipeline.progress import Counters, Progress

WAITS_FOR_BATCHES: Final = "waits for batches"
"""The words of a run whose last session left its batches at a provider."""
MAX_BYTES = 16 << 20
_COUNT_SECONDS = 5.0
_SILENT_SECONDS = 4 * _COUNT_SECONDS  # by then a process that is alive would have written something
_TAIL_BYTES = 1 << 20
_MOST_DIGITS = 18
_COUNTERS = TypeAdapter(Counters)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("no count is that high")
    return int(text)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_int=_whole, parse_constant=_finite)


class RunLog:
    """The log of a session."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._handler = _Handler(path, maxBytes=max_bytes, backupCount=1, encoding="utf-8", delay=True)
        self._logger = logging.Logger(
            "clairgen.run", logging.INFO
        )  # no child of the root logger: other handlers do not see it
        self._logger.addHandler(self._handler)
        self._start = time.monotonic()

    def event(self, name: str, /, **facts: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        """Write one line. A log that cannot be written does not stop a run."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._logger.info("%s", json.dumps({"at": now, "event": name, **facts}))

    @contextlib.asynccontextmanager
    async def counting(self, progress: Progress) -> AsyncIterator[None]:
        """Write the counters regularly while the block runs, and at its end."""
        self._start = time.monotonic()

        async def count_regularly() -> None:
            while True:
                self.count(progress)
                await asyncio.sleep(_COUNT_SECONDS)

        counting = asyncio.create_task(count_regularly(), name="counters")
        try:
            yield
        finally:
            counting.cancel()
            await asyncio.wait([counting])
            self.count(progress)

    def count(self, progress: Progress) -> None:
        """Write the counters as they stand now."""
        self.event("counters", **dataclasses.asdict(progress.counters(time.monotonic() - self._start)))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _Handler(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: the disk may be full, and the store says so where it matters."""


@dataclass(frozen=True, slots=True)
class LastSession:
    """The last session according to the log: whether it is running, how it ended if it did, and its last counters.

    `counted_at` is the time of those in ISO 8601, where it is looked up.
    """

    running: bool
    ended: str | None
    counters: Counters | None
    counted_at: str | None = None


def last_session(path: Path, now: datetime.datetime | None = None) -> LastSession | None:
    """The last session of a log; None without one. Lines that are not a log's are ignored."""
    lines = _last_lines(path)
    last = next(lines, None)
    if last is None:
        return None
    at, counters = next(
        (
            (str(line["at"]), found)
            for line in itertools.chain([last], lines)
            if (found := counters_of(line)) is not None
        ),
        (None, None),
    )
    session = session_after(last, counters, now or datetime.datetime.now(datetime.UTC))
    return dataclasses.replace(session, counted_at=at)


def session_after(last: Mapping[str, Any], counters: Counters | None, now: datetime.datetime) -> LastSession:
    """The last session by the last line of a log."""
    if last["event"] == "ended":
        return LastSession(False, str(last.get("stopped_by") or "done"), counters)
    age = now - datetime.datetime.fromisoformat(last["at"])
    return LastSession(age.total_seconds() < _SILENT_SECONDS, None, counters)


def session_words(session: LastSession | None) -> str:
    """Whether a run is running, or how its last session ended, as a sentence says it."""
    if session is None:
        return "no log"
    if session.running:
        return "running"
    if session.ended is None:
        return "not running (its last session did not say how it ended: it was killed, or an error stopped it)"
    if session.ended == DetachedError.__name__:
        return WAITS_FOR_BATCHES
    return "ended" if session.ended == "done" else f"stopped ({session.ended})"


def _last_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines at the end of a log, the last one first."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            end = file.read()
    except OSError:
        return
    for text in reversed(end.splitlines()):
        if (line := line_of(text)) is not None:
            yield line


def line_of(text: bytes) -> dict[str, Any] | None:
    """The facts of a line, with `event` and `at`; None for what is no line of a log, such as half of one."""
    try:
        line = _DECODER.decode(text.decode())
        return line if isinstance(line["event"], str) and datetime.datetime.fromisoformat(line["at"]).tzinfo else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def counters_of(line: Mapping[str, Any]) -> Counters | None:
    """The counters of a line; None for a line of something else."""
    if line["event"] != "counters":
        return None
    try:
        roles = {name: _with_current_names(role) for name, role in line["roles"].items()}
        facts = {key: value for key, value in line.items() if key not in ("at", "event")}
        return _COUNTERS.validate_python(facts | {"roles": roles})
    except (ValidationError, KeyError, TypeError, AttributeError):
        return None


def _with_current_names(role: Mapping[str, Any]) -> dict[str, Any]:
    """A role's counters as this version names them; earlier logs have `refused` for `failed_attempts`."""
    return {"failed_attempts" if key == "refused" else key: value for key, value in role.items()}
