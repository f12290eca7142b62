"""What the service does with runs: list them, look into them, vote. Every verb is one of `clairgen.api`, over the same store."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from clairgen import api
from clairgen.config.prices import PICODOLLARS
from clairgen.errors import ClairgenError, InputError
from clairgen.pipeline.run_log import session_words
from clairgen.reporting.html.charts import histogram_svg
from clairgen.reporting.html.pairs_page import BinLink, report_values
from clairgen.reporting.pair_metrics import SCALES, Histogram
from clairgen.reporting.report import RecipeReport
from clairgen.service.answers import RunLine
from clairgen.service.kept_figures import KeptFigures
from clairgen.service.pair_indexes import PairIndexes
from clairgen.service.pair_pages import PageQuery, PairPage, PairQuery, WholePair, pair_page, whole_pair
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import Grant
from clairgen.store import CastVote, RunDirectory, Vote, one_spelling, reading

_AT_ONCE: Final = 4
_LINE_SECONDS: Final = 2.0


class NotThereError(InputError):
    """The service has no run or pair of this name."""


class NotAllowedError(InputError):
    """The token does not allow this."""


class VoteRequest(BaseModel):
    """A vote. `voter` may be left out with a token that has a name.

    `version` is that of the pair which the voter saw: if the pair has other answers by now, the vote is refused. `queue` is the
    queue that handed the pair out: if others have it by now, the vote is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    vote: Vote
    voter: str | None = Field(None, max_length=1000)
    note: str | None = Field(None, max_length=20_000)
    version: str | None = Field(None, max_length=100)
    queue: str | None = Field(None, max_length=100)


class RunReport:
    """The report on each recipe of a run, and what its page shows of them, whose charts are drawn once."""

    def __init__(self, reports: list[RecipeReport]) -> None:
        self.reports = reports
        self._values: dict[str, Any] | None = None

    def page_values(self, bin_link: BinLink) -> dict[str, Any]:
        """What the page of the report shows; the bars of its histograms lead to where `bin_link` says."""
        if self._values is None:
            self._values = report_values(self.reports, bin_link=bin_link)
        return self._values


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: the report on a recipe of a run."""

    title: str
    run: str
    report: RecipeReport


class Runs:
    """The runs of a root."""

    def __init__(self, root: RunsRoot) -> None:
        self._root = root
        self._reports = KeptFigures(_report)
        self._indexes = PairIndexes(root.path)
        self._lines: dict[str, tuple[float, RunLine]] = {}
        self._listing = asyncio.Lock()
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self._writing: dict[str, asyncio.Lock] = {}

    @property
    def folder(self) -> Path:
        """The folder that they are in."""
        return self._root.path

    def directory(self, name: str) -> RunDirectory:
        """The directory of a run. Raises NotThereError."""
        found = self._root.run(name)
        if found is None:
            raise NotThereError("there is no run of this name; see the list of runs")
        return found

    async def lines(self) -> list[RunLine]:
        """All runs, in the order of their names, as they were a few seconds ago at most: many may look at them all the time."""
        async with self._listing:
            found = await asyncio.gather(*map(self._line, self._root.names()))
            self._lines = {line.name: (read_at, line) for read_at, line in found}
        return [line for _, line in found]

    async def status(self, name: str) -> api.Status:
        """Where a run stands."""
        return await api.status(self.directory(name).path)

    async def report(self, name: str) -> RunReport:
        """The report on a run; of one that goes on up to half a minute old. Who reads it may look at pairs next."""
        run = self.directory(name)
        await self._indexes.state(run, waits=False)
        return await self._reports.of(run)

    async def side(self, text: str) -> Side:
        """A recipe of a run, written `RUN:RECIPE`. Raises NotThereError."""
        for at in (number for number, sign in enumerate(text) if sign == ":"):
            if self._root.run(text[:at]) is None:
                continue
            for report in (await self.report(text[:at])).reports:
                if report.recipe == text[at + 1 :]:
                    return Side(text, text[:at], report)
        raise NotThereError(f"there is no run and recipe {text!r}; write RUN:RECIPE, as in the list of runs")

    async def pairs(self, name: str, query: PageQuery) -> PairPage:
        """A page of a run's pairs."""
        return await pair_page(self.directory(name), query, self._indexes)

    async def pair(self, name: str, pair_id: str, query: PairQuery) -> WholePair:
        """A pair of a run whole, with its neighbors among those that are meant. Raises NotThereError."""
        whole = await whole_pair(self.directory(name), pair_id, query, self._indexes)
        if whole is None:
            raise _no_pair()
        return whole

    async def votes(self, name: str, pair_id: str) -> list[CastVote]:
        """The votes on a pair that count. Raises NotThereError."""
        async with reading(self.directory(name)) as store:
            if await store.chosen.place(pair_id) is None:
                raise _no_pair()
            return await store.votes.of_pair(pair_id)

    async def vote(self, name: str, pair_id: str, vote: VoteRequest, grant: Grant) -> api.VoteCast:
        """Cast a vote; with a token that has a name, in that name. Raises NotAllowedError for another one."""
        voter = person(grant, vote.voter)
        run = await self.with_pair(name, pair_id)
        async with self.writing(name):
            return await api.cast_vote(
                run.path,
                pair_id,
                vote.vote,
                voter,
                vote.note or None,
                version=vote.version,
                check=None if vote.queue is None else api.voting_in(vote.queue, voter),
                any_case=grant.name is not None,
            )

    async def with_pair(self, name: str, pair_id: str) -> RunDirectory:
        """The directory of a run that has this pair. Raises NotThereError."""
        run = self.directory(name)
        async with reading(run) as store:
            if await store.chosen.place(pair_id) is None:
                raise _no_pair()
        return run

    def writing(self, name: str) -> asyncio.Lock:
        """Held around a short write, so that those into one run wait in turn and not in a thread each."""
        return self._writing.setdefault(name, asyncio.Lock())

    async def _line(self, name: str) -> tuple[float, RunLine]:
        """A run's line, and when it was read."""
        now = time.monotonic()
        if (kept := self._lines.get(name)) is not None and now - kept[0] < _LINE_SECONDS:
            return kept
        async with self._reading:
            try:
                seen = await api.snapshot(self.directory(name).path)
            except ClairgenError as error:
                return now, RunLine(name, "cannot be read", {}, 0.0, problem=str(error))
        spent = seen.spent.total / PICODOLLARS
        return now, RunLine(name, session_words(seen.session), seen.statuses, spent, seen.running)


def warm_up() -> None:
    """Load what reports need: the first one would wait for it."""
    import sklearn.linear_model  # noqa: F401 - the audit's, which takes more than a second

    scale = SCALES[0]
    histogram_svg(Histogram(scale, (0,) * scale.count, (0,) * scale.count), range(scale.count))


def person(grant: Grant, given: str | None) -> str:
    """The name of who does something: that of the token, or the one that was given. Raises NotAllowedError for another one."""
    if grant.name is not None and one_spelling(given or grant.name) != grant.name:
        raise NotAllowedError(f"this token is that of {grant.name}; leave out the name, or give that one")
    return grant.name or given or ""


def _no_pair() -> NotThereError:
    return NotThereError("the run has no pair of this id")


async def _report(run: RunDirectory) -> RunReport:
    return RunReport(await api.report(run.path))
