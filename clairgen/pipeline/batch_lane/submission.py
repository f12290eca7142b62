"""Getting one batch to its provider: uploaded, then created, each step on disk before the next begins.

A session that was killed goes on from either step. Where a request got no answer, the provider's own lists say what became of it.
"""

from dataclasses import replace
from typing import Final

from clairgen.errors import EndpointsError, RetryableError, UnusableEndpointError
from clairgen.inference.batch_service import RemoteBatch, RemoteFile, Tags
from clairgen.pipeline.batch_lane.batch_search import BatchSearch
from clairgen.pipeline.batch_lane.collection import batch_file
from clairgen.pipeline.batch_lane.provider_account import ProviderAccount
from clairgen.store import BatchRecord, now

FOUND_BY_FILE: Final = "it was found by its file alone"
"""The `detail` of a batch that has no id of this run's: it may be another run's, of the same requests."""


class BatchAbandonedError(Exception):
    """Nothing of a batch is at the provider, and its file is gone: its requests may be collected again."""


class Submission:
    """Takes one batch from where its record says it is until it is created.

    `resumed` is whether an earlier session left it there. If it `cancels`, nothing is created that is not there already.
    """

    def __init__(
        self, batch: BatchRecord, account: ProviderAccount, search: BatchSearch, *, resumed: bool, cancels: bool
    ) -> None:
        self._batch = batch
        self._account = account
        self._service = account.service
        self._search = search
        self._tags = Tags(batch.id, {"clairgen_role": batch.role[:64]})
        self._file = batch_file(account.folder, batch.id)
        self._resumed = resumed
        self._cancels = cancels
        self._may_exist = False
        self._is_of_earlier_session = resumed and batch.create_sent
        self._detail: str | None = None

    async def created(self) -> BatchRecord:
        """The record once it is created. Raises EndpointsError, or BatchAbandonedError where nothing of it is left anywhere."""
        if self._resumed and not self._batch.create_sent and (found := await self._with_its_id()) is not None:
            await self._adopt(found)
        while self._batch.state in ("collected", "uploaded"):
            if self._cancels and not self._batch.create_sent:
                raise BatchAbandonedError
            if self._batch.state == "collected":
                await self._upload()
            else:
                await self._create()
        return self._batch

    async def _update(self, **facts: object) -> None:
        await self._account.store.batches.update(self._batch.id, **facts)
        self._batch = replace(self._batch, **facts)  # type: ignore[arg-type]

    async def _upload(self) -> None:
        file = await self._search.file() if self._resumed else None
        self._resumed = False
        if file is None:
            if not self._file.exists():
                raise BatchAbandonedError
            file = await self._account.persistently(self._checked_upload)
        await self._update(state="uploaded", file_id=file.id)

    async def _checked_upload(self) -> RemoteFile:
        file = await self._service.upload(self._file, self._tags)
        if file.bytes is not None and file.bytes != self._batch.bytes:
            raise RetryableError(
                "torn-connection", f"the provider has {file.bytes:,} bytes of a file of {self._batch.bytes:,}"
            )
        return file

    async def _create(self) -> None:
        await self._account.enqueued.take(self._batch)
        self._may_exist = self._batch.create_sent
        remote = await self._found() if self._may_exist else None
        if remote is None and self._cancels:
            raise BatchAbandonedError
        if remote is None and self._is_of_earlier_session and await self._file_is_gone():
            raise self._account.not_found(self._batch)
        self._is_of_earlier_session = False
        if remote is None:
            if not self._batch.create_sent:
                await self._update(create_sent=True)
            # Whoever goes on from the copy has to know that there may be a batch: it is paid for as a whole.
            await self._account.store.copy.reached()
            remote = await self._answered_create()
        if remote is not None:
            await self._adopt(remote)

    async def _adopt(self, remote: RemoteBatch) -> None:
        facts = {"state": "created", "batch_id": remote.id, "create_sent": False, "submitted_at": now()}
        await self._update(**facts, status=remote.status, expires_at=remote.expires_at, detail=self._detail)

    async def _with_its_id(self) -> RemoteBatch | None:
        """The batch that is there although the run knows of no request to create it, as in an older copy of the run."""
        try:
            found = await self._search.all(None)
        except UnusableEndpointError:
            return None  # the provider lists none
        return found[0] if found else None

    async def _found(self) -> RemoteBatch | None:
        """The batch that an earlier request to create it made."""
        found = await self._search.created(self._batch.file_id)
        if found is not None and found.tag is None and found.input_file_id is not None:
            self._detail = FOUND_BY_FILE
        return found

    async def _answered_create(self) -> RemoteBatch | None:
        """Create it; None if its file has to be uploaded again. Raises EndpointsError."""
        account, file_id, is_first = self._account, self._batch.file_id or "", not self._may_exist
        repeating = account.repeating(account.patience_seconds + account.settings.search_seconds)
        while True:
            try:
                return await self._service.create(file_id, self._tags)
            except UnusableEndpointError as error:
                if error.status == 404 and await self._file_is_gone():
                    await self._update(state="collected", file_id=None, create_sent=not is_first)
                    return None
                await self._update(create_sent=not is_first)
                raise EndpointsError(f"no batch can be created: {error.detail}") from error
            except RetryableError as error:
                is_first = is_first and error.reason == "rate-limited"
                if error.reason != "rate-limited" and (found := await self._found()) is not None:
                    return found
                if repeating.is_over_after(error):
                    raise EndpointsError(f"no batch can be created: {error.detail}") from error
                await repeating.wait_after(error)

    async def _file_is_gone(self) -> bool:
        async def size() -> int | None:
            return await self._service.size(self._batch.file_id or "")

        try:
            await self._account.persistently(size)
        except UnusableEndpointError as error:
            return error.status == 404
        return False
