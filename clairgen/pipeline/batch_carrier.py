"""One batch on its way: uploaded, created, looked at until it has ended, its results taken in.

Each step is on disk before the next begins, so that a session that was killed goes on from any of them. Where a request got no
answer, the provider's own lists say what became of it: a batch is found again by its id before another is created.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from clairgen.config.role import BatchSettings
from clairgen.errors import EndpointsError, RequestError, RequestFailedError, RetryableError, UnusableEndpointError
from clairgen.inference.batch_lines import read_line, split_lines
from clairgen.inference.batch_service import ENDED, RUNNING, BatchService, Refusal, RemoteBatch, RemoteFile, Tags
from clairgen.inference.redaction import Redaction
from clairgen.pipeline.batch_collection import batch_file
from clairgen.pipeline.batch_results import BatchResults, never_processed
from clairgen.store import BatchRecord, Store, now

T = TypeVar("T")
_GROWTH: Final = 1.5
_LONGEST_POLL: Final = 6  # times the first
_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 30.0
_SHORT_DOWNLOADS: Final = 5  # in a row that brought no new line
_CLOCK_SKEW_SECONDS: Final = 7 * 86_400  # a provider's clock, or this machine's, may be as wrong
_ANONYMOUS_SKEW_SECONDS: Final = 2 * 86_400
_DUPLICATE: Final = "{0}-again-{1}"
_UNFINISHED: Final = {
    "expired": ("batch-expired", "the batch expired before this request was processed"),
    "cancelled": ("batch-cancelled", "the batch was cancelled before this request was processed"),
}


class BatchRefusedError(Exception):
    """The provider did not take a batch after looking at its lines; `refusals` say why."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("; ".join(f"{one.code}: {one.message}" for one in refusals[:3]) or "no explanation")
        self.refusals = refusals


class BatchAbandonedError(Exception):
    """Nothing of a batch is at the provider, and its file is gone: its requests may be collected again."""


class _FileGoneError(Exception):
    """A file of results is not there, however often it is looked for."""


@dataclass(frozen=True, slots=True)
class Carrying:
    """What carries batches of a role at one provider. `patience_seconds` is how long it may fail before the run stops."""

    service: BatchService
    settings: BatchSettings
    patience_seconds: float
    store: Store
    folder: Path
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    note: Callable[[str], None]
    room: "TokenRoom"

    async def persistently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call that is repeated as long as the provider fails. Raises EndpointsError in the end."""
        since, delay = self.clock(), _FIRST_RETRY_SECONDS
        while True:
            try:
                return await call()
            except UnusableEndpointError:
                raise
            except RetryableError as error:
                if self.clock() - since > self.patience_seconds:
                    raise EndpointsError(
                        f"batches cannot be carried on ({error.detail}); those that were created go on at the provider: run "
                        "the same command again later"
                    ) from error
                await self.sleep(max(error.retry_after_seconds or 0.0, delay))
                delay = min(2 * delay, _LONGEST_RETRY_SECONDS)


@dataclass(slots=True)
class TokenRoom:
    """The tokens that wait at the provider, by batch, of at most `limit`; None is no limit."""

    limit: int | None
    _waiting: dict[str, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, batch: BatchRecord) -> None:
        """Wait until the batch's tokens fit beside those of the others; one that is alone always does."""
        while self.limit is not None:
            others = [tokens for other, tokens in self._waiting.items() if other != batch.id]
            if not others or sum(others) + batch.tokens <= self.limit:
                break
            await self.changed()
        self._waiting[batch.id] = batch.tokens

    def give_back(self, batch: str) -> None:
        """The batch waits no longer."""
        if self._waiting.pop(batch, None) is not None:
            self._changed.set()
            self._changed = asyncio.Event()

    def others(self, batch: str) -> bool:
        """Whether other batches wait."""
        return any(other != batch for other in self._waiting)

    async def changed(self) -> None:
        """Wait until some batch waits no longer."""
        await self._changed.wait()


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
        self._carrying = carrying
        self._service = carrying.service
        self._tags = Tags(batch.id, {"clairgen_role": batch.role[:64]})
        self._duplicates: dict[str, str] = {}
        self._refused = set[str]()
        self._others = set[str]()
        self._recognized: RemoteBatch | None = None
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
        settings, wait = self._carrying.settings, self._carrying.settings.poll_seconds
        await self._find_duplicates()
        if self._cancels:
            await self._cancel(self.batch.batch_id or "")
        while (remote := await self._looked_at(self.batch.batch_id or "")) is not None and remote.status not in ENDED:
            await self._carrying.sleep(wait)
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
            lost = not await self._take_files(remote, results) or (has_none and remote.status == "completed")
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
            await self._carrying.store.batches.update(duplicate, state="ended", ended_at=now())
        await self._update(state="ended", ended_at=now(), status=status, detail=detail)
        self._file.unlink(missing_ok=True)

    async def submit_again(self) -> None:
        """Create it once more of the same file: it was refused for what else waits at the provider."""
        self._refused.add(self.batch.batch_id or "")
        await self._update(state="uploaded", batch_id=None, create_sent=False)

    @property
    def _file(self) -> Path:
        return batch_file(self._carrying.folder, self.batch.id)

    async def _update(self, **facts: object) -> None:
        await self._carrying.store.batches.update(self.batch.id, **facts)
        self.batch = replace(self.batch, **facts)  # type: ignore[arg-type]

    async def _upload(self) -> None:
        file = await self._uploaded_before()
        if file is None:
            if not self._file.exists():
                raise BatchAbandonedError
            file = await self._carrying.persistently(self._checked_upload)
        await self._update(state="uploaded", file_id=file.id)

    async def _checked_upload(self) -> RemoteFile:
        file = await self._service.upload(self._file, self._tags)
        if file.bytes is not None and file.bytes != self.batch.bytes:
            raise RetryableError(
                "torn-connection", f"the provider has {file.bytes:,} bytes of a file of {self.batch.bytes:,}"
            )
        return file

    async def _uploaded_before(self) -> RemoteFile | None:
        """The file of an upload whose end is not recorded; one that the provider did not get whole does not count."""
        if not self._resumed:
            return None
        self._resumed = False

        async def find() -> RemoteFile | None:
            async for file in self._service.files():
                if file.name == self._tags.file_name and file.bytes == self.batch.bytes:
                    return file
            return None

        return await self._carrying.persistently(find)

    async def _create(self) -> None:
        await self._carrying.room.take(self.batch)
        remote = await self._found_again() if self.batch.create_sent else None
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
        self.submitted_clock = self._carrying.clock()

    async def _created(self) -> RemoteBatch | None:
        """Create it; None if its file has to be uploaded again. Raises EndpointsError."""
        carrying, since, delay = self._carrying, self._carrying.clock(), _FIRST_RETRY_SECONDS
        while True:
            try:
                return await self._service.create(self.batch.file_id or "", self._tags)
            except UnusableEndpointError as error:
                if error.status == 404 and await self._file_is_gone():
                    await self._update(state="collected", file_id=None, create_sent=False)
                    return None
                await self._update(create_sent=False)
                raise EndpointsError(f"no batch can be created: {error.detail}") from error
            except RetryableError as error:
                if error.reason != "rate-limited" and (found := await self._found_again()) is not None:
                    return found
                if carrying.clock() - since > carrying.patience_seconds + carrying.settings.search_seconds:
                    raise EndpointsError(f"no batch can be created: {error.detail}") from error
                await carrying.sleep(max(error.retry_after_seconds or 0.0, delay))
                delay = min(2 * delay, _LONGEST_RETRY_SECONDS)

    async def _file_is_gone(self) -> bool:
        async def size() -> int | None:
            return await self._service.size(self.batch.file_id or "")

        try:
            await self._carrying.persistently(size)
        except UnusableEndpointError as error:
            return error.status == 404
        return False

    async def _found_again(self) -> RemoteBatch | None:
        """The batch that an earlier request created although its answer was not received; it may appear some time later."""
        carrying = self._carrying
        until, delay = carrying.clock() + carrying.settings.search_seconds, _FIRST_RETRY_SECONDS
        while True:
            found = await self._mine(needed=True)
            if found:
                return found[0]
            while not found and await self._may_be_among_anonymous():
                await carrying.sleep(_LONGEST_POLL * carrying.settings.poll_seconds)
            if (anonymous := self._recognized) is not None:
                return anonymous
            if (left := until - carrying.clock()) <= 0:
                return None
            await carrying.sleep(min(delay, left))
            delay = min(2 * delay, _LONGEST_RETRY_SECONDS)

    async def _mine(self, *, needed: bool = False) -> list[RemoteBatch]:
        """All batches of this one's requests at the provider, the first that was created first.

        Where the provider lists none: raises EndpointsError if that is `needed`.
        """

        async def find() -> list[RemoteBatch]:
            found = []
            since = datetime.datetime.fromisoformat(self.batch.created_at)
            oldest = since.timestamp() - _CLOCK_SKEW_SECONDS
            async for one in self._service.batches():
                by_file = one.tag is None and one.input_file_id is not None and one.input_file_id == self.batch.file_id
                if (one.tag == self.batch.id or by_file) and one.id not in self._refused and one.status != "failed":
                    found.append(one)
                if one.created_at is not None and one.created_at < oldest:
                    break
            return sorted(found, key=lambda one: (one.created_at or 0.0, one.id))

        try:
            return await self._carrying.persistently(find)
        except UnusableEndpointError as error:
            if not needed:
                return []
            raise EndpointsError(
                f"it cannot be found out whether a batch was created, since the provider lists none ({error.detail}); look "
                f"there for one with {Tags.KEY} {self.batch.id}, and cancel it or run the same command again once it is listed"
            ) from error

    async def _may_be_among_anonymous(self) -> bool:
        """Whether a batch of as many requests runs that may be this one, at a provider that does not say so before its end.

        One that has ended is known by the custom_ids of its results, and is then `_recognized`.
        """
        known = {one.batch_id for one in await self._carrying.store.batches.all()}

        async def candidates() -> list[RemoteBatch]:
            since = datetime.datetime.fromisoformat(self.batch.created_at).timestamp() - _ANONYMOUS_SKEW_SECONDS
            found = []
            async for one in self._service.batches():
                if one.created_at is not None and one.created_at < since:
                    break
                if one.anonymous_requests == self.batch.requests and one.id not in known | self._others:
                    found.append(one)
            return found

        runs = False
        for one in await self._carrying.persistently(candidates):
            if one.status not in ENDED:
                runs = True
            elif await self._has_my_requests(one):
                self._recognized = one
                return False
            else:
                self._others.add(one.id)
        return runs

    async def _has_my_requests(self, remote: RemoteBatch) -> bool:
        """Whether the results of a batch are of this one's requests, by the first of them."""
        mine = await self._carrying.store.batches.waiting(self.batch.id)

        async def first() -> str | None:
            async for line in split_lines(self._service.content(remote.output_file_id or remote.id)):
                found = await read_line(line, Redaction.of([]), self._carrying.wall_clock())
                return found.custom_id
            return None

        try:
            return await self._carrying.persistently(first) in mine
        except UnusableEndpointError:
            return False

    async def _find_duplicates(self) -> None:
        """Record and cancel further batches that the provider made of one request: they would cost the same again."""
        for other in await self._mine():
            if other.id == self.batch.batch_id or other.id in self._duplicates.values():
                continue
            identity = _DUPLICATE.format(self.batch.id, len(self._duplicates) + 1)
            record = replace(
                self.batch, id=identity, batch_id=other.id, duplicate_of=self.batch.id, status=other.status, requests=0
            )
            await self._carrying.store.batches.add_duplicate(record)
            self._duplicates[identity] = other.id
            self._carrying.note(
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
            except UnusableEndpointError:
                return None  # it has ended

        await self._carrying.persistently(ask)

    async def _looked_at(self, batch_id: str) -> RemoteBatch | None:
        """A batch as it is now, recorded if it is this one; None if it is not there, however often it is looked for."""
        carrying = self._carrying
        until, delay = carrying.clock() + carrying.settings.search_seconds, _FIRST_RETRY_SECONDS
        while True:
            try:
                remote = await carrying.persistently(lambda: self._service.retrieve(batch_id))
                break
            except UnusableEndpointError as error:
                if error.status != 404:
                    raise EndpointsError(f"batches cannot be looked at: {error.detail}") from error
                if carrying.clock() >= until:
                    return None
                await carrying.sleep(delay)
                delay = min(2 * delay, _LONGEST_RETRY_SECONDS)
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
        carrying = self._carrying
        until, delay = carrying.clock() + carrying.settings.search_seconds, _FIRST_RETRY_SECONDS
        while remote.output_file_id is None and remote.error_file_id is None and carrying.clock() < until:
            await carrying.sleep(delay)
            delay = min(2 * delay, _LONGEST_RETRY_SECONDS)
            remote = await self._looked_at(remote.id) or remote
        return remote

    async def _take_duplicate(self, identity: str, results: BatchResults) -> bool:
        wait = self._carrying.settings.poll_seconds
        while (remote := await self._looked_at(self._duplicates[identity])) is not None and remote.status not in ENDED:
            await self._carrying.sleep(wait)
        results.from_duplicate = identity
        taken = remote is None or await self._take_files(remote, results)
        results.from_duplicate = None
        return taken

    async def _take_files(self, remote: RemoteBatch, results: BatchResults) -> bool:
        """Take in the files of answers and of errors; False if one is gone for good."""
        whole = True
        for file_id in (remote.output_file_id, remote.error_file_id):
            if file_id is not None:
                try:
                    await self._take_file(file_id, results)
                except _FileGoneError:
                    whole = False
        await results.finish()
        return whole

    async def _take_file(self, file_id: str, results: BatchResults) -> None:
        """Take in a file; one that breaks off, or came short, is downloaded again for what is missing of it."""
        carrying, without_new = self._carrying, 0
        until, delay = carrying.clock() + carrying.settings.search_seconds, _FIRST_RETRY_SECONDS
        while True:
            before, error = results.new_lines, None
            try:
                if await self._download(file_id, results):
                    return
            except UnusableEndpointError as refused:
                if refused.status not in (404, 410):
                    raise EndpointsError(f"results cannot be downloaded: {refused.detail}") from refused
                if carrying.clock() >= until:
                    raise _FileGoneError from refused
            except RetryableError as failed:
                error = failed
            without_new = 0 if results.new_lines > before else without_new + 1
            if error is None and without_new > _SHORT_DOWNLOADS:
                return  # the provider is wrong about its length
            if error is not None and without_new > _SHORT_DOWNLOADS and carrying.clock() >= until:
                raise EndpointsError(f"results cannot be downloaded: {error.detail}; run the same command again later")
            await carrying.sleep(delay)
            delay = min(2 * delay, _LONGEST_RETRY_SECONDS)

    async def _download(self, file_id: str, results: BatchResults) -> bool:
        """Take in the lines of one download; whether that was the whole file. Its last line only if it was."""
        received = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal received
            async for piece in self._service.content(file_id):
                received += len(piece)
                yield piece

        held: bytes | None = None
        async for line in split_lines(counted()):
            if held is not None:
                await results.take(held)
            held = line
        size = await self._size(file_id)
        if size is not None and received < size:
            return False
        if held is not None:
            await results.take(held)
        return True

    async def _size(self, file_id: str) -> int | None:
        try:
            return await self._carrying.persistently(lambda: self._service.size(file_id))
        except UnusableEndpointError:
            return None


def _lost(said: str) -> RequestError:
    return RequestFailedError(
        "result-lost",
        f"{said}; the request is not sent again unless you say so, since it was probably paid for",
        billed=True,
    )
