"""One batch on its way: uploaded, created, looked at until it has ended, its results taken in.

Each step is on disk before the next begins, so that a session that was killed goes on from any of them. Where a request got no
answer, the provider's own lists say what became of it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from clairgen.errors import EndpointsError, RequestError, RequestFailedError, RetryableError, UnusableEndpointError
from clairgen.inference.batch_service import ENDED, RUNNING, RemoteBatch, RemoteFile, Tags
from clairgen.pipeline.batch_carrying import BatchAbandonedError, BatchRefusedError, Carrying
from clairgen.pipeline.batch_collection import batch_file
from clairgen.pipeline.batch_downloads import take_files
from clairgen.pipeline.batch_results import BatchResults, never_processed
from clairgen.pipeline.batch_search import BatchSearch
from clairgen.store import BatchRecord, now

_GROWTH: Final = 1.5
_LONGEST_POLL: Final = 6  # times the first
_ENDED_ALREADY: Final = 409
_UNFINISHED: Final = {
    "expired": ("batch-expired", "the batch expired before this request was processed"),
    "cancelled": ("batch-cancelled", "the batch was cancelled before this request was processed"),
}


class BatchCarrier:
    """Takes one batch from where its record says it is to its end.

    `resumed` is whether an earlier session left it there, `created_before` whether that created it. If it `cancels`, nothing is
    created, and what is finished is taken in.
    """

    def __init__(self, batch: BatchRecord, carrying: Carrying, *, resumed: bool = False, cancels: bool = False) -> None:
        self.batch = batch
        self.created_before = batch.state == "created"
        self.polled = False
        self.submitted_clock: float | None = None
        self.carrying = carrying
        self._service = carrying.service
        self._tags = Tags(batch.id, {"clairgen_role": batch.role[:64]})
        self._duplicates: dict[str, str] = {}
        self._search = BatchSearch(batch, carrying)
        self._resumed = resumed
        self._cancels = cancels

    async def submit(self) -> None:
        """Upload and create it, as far as that is not done.

        Raises EndpointsError, or BatchAbandonedError where nothing of it is left anywhere.
        """
        while self.batch.state in ("collected", "uploaded"):
            if self._cancels and not self.batch.create_sent:
                raise BatchAbandonedError
            if self.batch.state == "collected":
                await self._upload()
            else:
                await self._create()

    async def finish(self) -> RemoteBatch | None:
        """Wait for its end; None if the provider has lost it.

        Raises BatchRefusedError if it failed its validation, EndpointsError for a state that is not known.
        """
        settings, wait = self.carrying.settings, self.carrying.settings.poll_seconds
        self.carrying.room.hold(self.batch)
        await self._find_duplicates()
        if self._cancels:
            await self._cancel(self.batch.batch_id or "")
        while (remote := await self._looked_at(self.batch.batch_id or "")) is not None and remote.status not in ENDED:
            await self.carrying.sleep(wait)
            wait = min(_GROWTH * wait, _LONGEST_POLL * settings.poll_seconds)
        if remote is not None and remote.status == "failed" and not (remote.output_file_id or remote.error_file_id):
            raise BatchRefusedError(remote.refusals)
        await self._find_duplicates()
        return remote

    async def take_results(self, remote: RemoteBatch | None, results: BatchResults) -> None:
        """Take in all that there is, and give a reason to every line that nothing came back for. Raises EndpointsError."""
        lost = False
        if remote is not None:
            remote = await self._with_files(remote)
            has_none = remote.output_file_id is None and remote.error_file_id is None
            lost = not await take_files(remote, results, self.carrying) or (has_none and remote.status == "completed")
        for duplicate in self._duplicates:
            lost = not await self._take_duplicate(duplicate, results) or lost
        if remote is None:
            await results.fail_rest(lambda: _lost("the provider does not know this batch any more"), cost=None)
        elif lost:
            await results.fail_rest(lambda: _lost("the provider does not have the results"), cost=None)
        elif remote.status in _UNFINISHED:
            await results.fail_rest(never_processed(*_UNFINISHED[remote.status]), cost=0)
        else:
            missing = never_processed(
                "missing-result", f"the batch is {remote.status} and has no line for this request"
            )
            await results.fail_rest(missing, cost=None)
        await self.end(remote.status if remote is not None else "gone")

    async def end(self, status: str, detail: str | None = None) -> None:
        """Record that nothing more comes of it."""
        for duplicate in self._duplicates:
            await self.carrying.store.batches.update(duplicate, state="ended", ended_at=now())
        await self._update(state="ended", ended_at=now(), status=status, detail=detail)
        self._file.unlink(missing_ok=True)

    async def submit_again(self) -> None:
        """Create it once more of the same file: it was refused for what else waits at the provider."""
        self._search.forget(self.batch.batch_id or "")
        await self._update(state="uploaded", batch_id=None, create_sent=False)

    @property
    def _file(self) -> Path:
        return batch_file(self.carrying.folder, self.batch.id)

    async def _update(self, **facts: object) -> None:
        await self.carrying.store.batches.update(self.batch.id, **facts)
        self.batch = replace(self.batch, **facts)  # type: ignore[arg-type]

    async def _upload(self) -> None:
        file = await self._search.file() if self._resumed else None
        self._resumed = False
        if file is None:
            if not self._file.exists():
                raise BatchAbandonedError
            file = await self.carrying.persistently(self._checked_upload)
        await self._update(state="uploaded", file_id=file.id)

    async def _checked_upload(self) -> RemoteFile:
        file = await self._service.upload(self._file, self._tags)
        if file.bytes is not None and file.bytes != self.batch.bytes:
            raise RetryableError(
                "torn-connection", f"the provider has {file.bytes:,} bytes of a file of {self.batch.bytes:,}"
            )
        return file

    async def _create(self) -> None:
        await self.carrying.room.take(self.batch)
        remote = await self._search.created(self.batch.file_id) if self.batch.create_sent else None
        if remote is None and self._cancels:
            raise BatchAbandonedError
        if remote is None:
            if not self.batch.create_sent:
                await self._update(create_sent=True)
            remote = await self._created()
        if remote is None:
            return
        facts = {"state": "created", "batch_id": remote.id, "create_sent": False, "submitted_at": now()}
        await self._update(**facts, status=remote.status, expires_at=remote.expires_at)
        self.submitted_clock = self.carrying.clock()

    async def _created(self) -> RemoteBatch | None:
        """Create it; None if its file has to be uploaded again. Raises EndpointsError."""
        carrying, file_id = self.carrying, self.batch.file_id or ""
        repeating = carrying.repeating(carrying.patience_seconds + carrying.settings.search_seconds)
        while True:
            try:
                return await self._service.create(file_id, self._tags)
            except UnusableEndpointError as error:
                if error.status == 404 and await self._file_is_gone():
                    await self._update(state="collected", file_id=None, create_sent=False)
                    return None
                await self._update(create_sent=False)
                raise EndpointsError(f"no batch can be created: {error.detail}") from error
            except RetryableError as error:
                if error.reason != "rate-limited" and (found := await self._search.created(file_id)) is not None:
                    return found
                if repeating.is_over:
                    raise EndpointsError(f"no batch can be created: {error.detail}") from error
                await repeating.wait(error.retry_after_seconds or 0.0)

    async def _file_is_gone(self) -> bool:
        async def size() -> int | None:
            return await self._service.size(self.batch.file_id or "")

        try:
            await self.carrying.persistently(size)
        except UnusableEndpointError as error:
            return error.status == 404
        return False

    async def _find_duplicates(self) -> None:
        """Record and cancel further batches that the provider made of one request: they would cost the same again."""
        try:
            mine = await self._search.all(self.batch.file_id)
        except UnusableEndpointError:
            mine = []  # the provider lists none
        for other in mine:
            if other.id == self.batch.batch_id or other.id in self._duplicates.values():
                continue
            identity = f"{self.batch.id}-again-{len(self._duplicates) + 1}"
            record = replace(
                self.batch, id=identity, batch_id=other.id, duplicate_of=self.batch.id, status=other.status, requests=0
            )
            await self.carrying.store.batches.add_duplicate(record)
            self._duplicates[identity] = other.id
            self.carrying.note(
                f"the provider made a second batch ({other.id}) of the requests of {self.batch.batch_id}; it is cancelled; what "
                "it has answered already may be billed in addition"
            )
        for other_id in self._duplicates.values():
            await self._cancel(other_id)

    def adopt_duplicates(self, records: Sequence[BatchRecord]) -> None:
        """Take over what an earlier session found."""
        self._duplicates = {one.id: one.batch_id for one in records if one.batch_id is not None}

    async def _cancel(self, batch_id: str) -> None:
        async def ask() -> RemoteBatch | None:
            try:
                return await self._service.cancel(batch_id)
            except (UnusableEndpointError, RetryableError) as error:
                if error.status == _ENDED_ALREADY or isinstance(error, UnusableEndpointError):
                    return None
                raise

        await self.carrying.persistently(ask)

    async def _looked_at(self, batch_id: str) -> RemoteBatch | None:
        """A batch as it is now, recorded if it is this one; None if it is not there, however often it is looked for."""
        searching = self.carrying.searching()
        while True:
            try:
                remote = await self.carrying.persistently(lambda: self._service.retrieve(batch_id))
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

    async def _with_files(self, remote: RemoteBatch) -> RemoteBatch:
        """A batch that has ended, looked at again for some time if it has no file of results: that may come later."""
        searching = self.carrying.searching()
        while remote.output_file_id is None and remote.error_file_id is None and not searching.is_over:
            await searching.wait()
            remote = await self._looked_at(remote.id) or remote
        return remote

    async def _take_duplicate(self, identity: str, results: BatchResults) -> bool:
        wait = self.carrying.settings.poll_seconds
        while (remote := await self._looked_at(self._duplicates[identity])) is not None and remote.status not in ENDED:
            await self.carrying.sleep(wait)
        results.from_duplicate = identity
        taken = remote is None or await take_files(remote, results, self.carrying)
        results.from_duplicate = None
        return taken


def _lost(said: str) -> RequestError:
    return RequestFailedError(
        "result-lost",
        f"{said}; the request is not sent again unless you say so, since it was probably paid for",
        billed=True,
    )
