"""The life of one batch: submitted, looked at until it has ended, its results taken in; each step is on disk before the next."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from clairgen.errors import EndpointsError, UnusableEndpointError
from clairgen.inference.batch_service import ENDED, RUNNING, Refusal, RemoteBatch
from clairgen.pipeline.batch_lane.batch_results import BatchResults
from clairgen.pipeline.batch_lane.batch_search import BatchSearch
from clairgen.pipeline.batch_lane.collection import batch_file
from clairgen.pipeline.batch_lane.downloads import file_size, take_files
from clairgen.pipeline.batch_lane.duplicates import Duplicates
from clairgen.pipeline.batch_lane.missing_results import missing
from clairgen.pipeline.batch_lane.provider_account import ProviderAccount
from clairgen.pipeline.batch_lane.submission import FOUND_BY_FILE, Submission
from clairgen.store import BatchRecord, now

_GROWTH: Final = 1.5
_OVERDUE_SECONDS: Final = 3600  # after its expiry; that a batch still runs then is said
_STUCK_SECONDS: Final = 86_400  # after its expiry; then it is cancelled
_CANCELLING_SECONDS: Final = 3600  # after that it is waited for no longer


class BatchRefusedError(Exception):
    """The provider did not take a batch after looking at its lines; `refusals` say why."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("; ".join(f"{one.code}: {one.message}" for one in refusals[:3]) or "no explanation")
        self.refusals = refusals


class OpenBatch:
    """Takes one batch from where its record says it is to its end.

    `resumed` is whether an earlier session left it there, `created_before` whether that created it; `duplicates` are those that
    it found. If it `cancels`, nothing is created, and what is finished is taken in. `is_stuck` is whether its provider was to end
    it long ago, so that it is given up soon.
    """

    def __init__(
        self,
        batch: BatchRecord,
        account: ProviderAccount,
        *,
        resumed: bool = False,
        duplicates: Sequence[BatchRecord] = (),
        cancels: bool = False,
    ) -> None:
        self.batch = batch
        self.created_before = batch.state == "created"
        self.polled = False
        self.is_stuck = False
        self.submitted_clock: float | None = None
        self.account = account
        self._service = account.service
        self._search = BatchSearch(batch, account)
        self._duplicates = Duplicates(account, self._search, duplicates)
        self._resumed = resumed
        self._cancels = cancels

    async def submit(self) -> None:
        """Upload and create it, as far as that is not done.

        Raises EndpointsError, or BatchAbandonedError where nothing of it is left anywhere.
        """
        if self.batch.state != "created":
            submission = Submission(
                self.batch, self.account, self._search, resumed=self._resumed, cancels=self._cancels
            )
            self.batch = await submission.created()
            self.submitted_clock = self.account.clock()

    async def finish(self) -> RemoteBatch | None:
        """Wait for its end; None if it `cancels` and the provider does not know the batch.

        One that its provider does not end is given up some time after its expiry, in the state that it has then. Raises
        BatchRefusedError if it failed its validation, EndpointsError for a state that is not known, or for a batch that is not
        found: it may be there for another key.
        """
        self.account.enqueued.hold(self.batch)
        await self._duplicates.find(self.batch)
        if self._cancels:
            await self._cancel(self.batch.batch_id or "")
        remote = await self._waited_for(self.batch.batch_id or "")
        if remote is None and not self._cancels:
            raise self.account.not_found(self.batch)
        if remote is not None and remote.status == "failed" and _has_no_file(remote) and not remote.completed:
            raise BatchRefusedError(remote.refusals)
        await self._duplicates.find(self.batch)
        return remote

    async def take_results(self, remote: RemoteBatch | None, results: BatchResults) -> None:
        """Take in all that there is, and give a reason to every line that nothing came back for. Raises EndpointsError."""
        lost = False
        if remote is not None:
            remote, whole = await self._taken(remote, results)
            nothing_came = _has_no_file(remote) and remote.status == "completed"
            lost = not whole or nothing_came or (remote.completed or 0) > len(results.answers)
        for duplicate in self._duplicates.ids:
            lost = not await self._take_duplicate(duplicate, results) or lost
        await results.fail_unreadable()
        error, cost = missing(remote, lost=lost)
        await results.fail_rest(error, cost=cost)
        await self.end(remote.status if remote is not None else "gone")

    async def end(self, status: str, detail: str | None = None) -> None:
        """Record that nothing more comes of it."""
        for duplicate in self._duplicates.ids:
            await self.account.store.batches.update(duplicate, state="ended", ended_at=now())
        await self._update(state="ended", ended_at=now(), status=status, detail=detail)
        self._file.unlink(missing_ok=True)

    async def submit_again(self) -> None:
        """Create it once more of the same file: it was refused for what else waits at the provider."""
        self._search.forget(self.batch.batch_id or "")
        await self._update(state="uploaded", batch_id=None, create_sent=False)

    async def has_news(self) -> bool:
        """Whether it has ended at the provider, or is stuck there: asked once, and nothing is recorded.

        Raises RetryableError, UnusableEndpointError.
        """
        remote = await self._service.retrieve(self.batch.batch_id or "")
        return remote.status not in RUNNING or self._overdue_seconds(remote) > _STUCK_SECONDS

    @property
    def pause_seconds(self) -> float:
        """How long it is left alone between two looks by now: its age says how many pauses there were, each longer."""
        age_seconds = max(0.0, self._age_seconds)  # a clock may have been put back
        return min(self.account.settings.poll_seconds + (_GROWTH - 1) * age_seconds, self.account.longest_poll_seconds)

    @property
    def goes_on(self) -> bool:
        """Whether it was looked at in this session and had not ended."""
        return self.polled and self.batch.state == "created" and self.batch.status in RUNNING

    @property
    def _file(self) -> Path:
        return batch_file(self.account.folder, self.batch.id)

    async def _update(self, **facts: object) -> None:
        await self.account.store.batches.update(self.batch.id, **facts)
        self.batch = replace(self.batch, **facts)  # type: ignore[arg-type]

    async def _cancel(self, batch_id: str) -> None:
        """Cancel it, or a duplicate, if it is certain whose it is."""
        if batch_id == self.batch.batch_id and self.batch.detail == FOUND_BY_FILE:
            self.account.note(
                f"the batch {batch_id} is not cancelled: {FOUND_BY_FILE}, so it may be another run's; if it is nobody else's, "
                "cancel it there"
            )
        else:
            await self.account.cancel(batch_id)

    async def _waited_for(self, batch_id: str) -> RemoteBatch | None:
        """A batch once it has ended, or has not although it is long past its expiry and was cancelled; None if it is lost."""
        wait, is_said, cancelled_at = self.account.settings.poll_seconds, False, None
        while (remote := await self._looked_at(batch_id)) is not None and remote.status not in ENDED:
            overdue = self._overdue_seconds(remote)
            if cancelled_at is not None and self.account.clock() - cancelled_at > _CANCELLING_SECONDS:
                break
            if overdue > _STUCK_SECONDS and cancelled_at is None:
                self.is_stuck = True
                cancelled_at = self.account.clock()
                await self._cancel(batch_id)
            if overdue > _OVERDUE_SECONDS and not is_said:
                is_said = True
                self.account.note(
                    f"the batch {batch_id} of {self.batch.role} is {remote.status}, though it expired {overdue / 3600:,.0f} h "
                    f"ago; {_STUCK_SECONDS // 3600} h after its expiry it is cancelled and its answers are taken in"
                )
            await self.account.sleep(wait)
            wait = min(_GROWTH * wait, self.account.longest_poll_seconds)
        return remote

    def _overdue_seconds(self, remote: RemoteBatch) -> float:
        """How long ago a batch expired, by its own length and this machine's clock: the provider's may be wrong.

        Minus infinity for one that does not expire, or whose times cannot be true.
        """
        if remote.expires_at is None or remote.created_at is None or remote.expires_at <= remote.created_at:
            return -math.inf
        return self._age_seconds - (remote.expires_at - remote.created_at)

    @property
    def _age_seconds(self) -> float:
        since = datetime.datetime.fromisoformat(self.batch.submitted_at or self.batch.created_at).timestamp()
        return self.account.wall_clock() - since

    async def _looked_at(self, batch_id: str) -> RemoteBatch | None:
        """A batch as it is now, recorded if it is this one; None if it is not there, however often it is looked for."""
        searching = self.account.searching()
        while True:
            try:
                remote = await self.account.persistently(lambda: self._service.retrieve(batch_id))
                break
            except UnusableEndpointError as error:
                if error.status != 404:
                    raise EndpointsError(f"batches cannot be looked at: {error.detail}") from error
                if searching.is_over:
                    return None
                await searching.wait()
        if remote.status not in RUNNING | ENDED:
            raise EndpointsError(
                f"the batch {remote.id} is in a state that clairgen does not know, {remote.status!r}, so nothing is made of it; "
                "it goes on at the provider: run the same command again later"
            )
        if batch_id == self.batch.batch_id:
            await self._record(remote)
        return remote

    async def _record(self, remote: RemoteBatch) -> None:
        facts = {"status": remote.status, "completed": remote.completed, "failed": remote.failed}
        if remote.expires_at is not None:
            facts["expires_at"] = remote.expires_at  # type: ignore[assignment]
        if any(getattr(self.batch, name) != value for name, value in facts.items()):
            await self._update(**facts)
        self.polled = True

    async def _taken(self, remote: RemoteBatch, results: BatchResults) -> tuple[RemoteBatch, bool]:
        """Take in its files; the batch as it is then, and whether none of them is gone for good.

        As long as lines are missing it is looked at again for some time: files may be named, or become longer, after the end.
        """
        searching, taken = self.account.searching(), await self._files(remote)
        whole = await take_files(remote, results, self.account)
        while results.waiting and whole and not searching.is_over:
            await searching.wait()
            remote = await self._waited_for(remote.id) or remote
            if (files := await self._files(remote)) != taken or results.unmatched.unreadable:
                taken, whole = files, await take_files(remote, results, self.account)
        return remote, whole

    async def _files(self, remote: RemoteBatch) -> list[tuple[str | None, int | None]]:
        """The files of its results, and how long they are."""
        ids = (remote.output_file_id, remote.error_file_id)
        return [(one, None if one is None else await file_size(one, self.account)) for one in ids]

    async def _take_duplicate(self, identity: str, results: BatchResults) -> bool:
        remote = await self._waited_for(self._duplicates.ids[identity])
        results.unmatched.from_duplicate = identity
        taken = remote is None or await take_files(remote, results, self.account)
        results.unmatched.from_duplicate = None
        return taken


def _has_no_file(remote: RemoteBatch) -> bool:
    return remote.output_file_id is None and remote.error_file_id is None
