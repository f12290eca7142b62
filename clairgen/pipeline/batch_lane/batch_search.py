"""Finding a batch again at its provider, before anything of it is sent a second time."""

import datetime
from contextlib import aclosing
from typing import Final

from clairgen.errors import EndpointsError, UnusableEndpointError
from clairgen.inference.batch_lines import read_line, split_lines
from clairgen.inference.batch_service import ENDED, RemoteBatch, RemoteFile, Tags
from clairgen.inference.redaction import Redaction
from clairgen.pipeline.batch_lane.provider_account import ProviderAccount
from clairgen.store import BatchRecord

_CLOCK_SKEW_SECONDS: Final = 7 * 86_400  # a provider's clock, or this machine's, may be as wrong
_ANONYMOUS_SKEW_SECONDS: Final = 2 * 86_400


class BatchSearch:
    """Looks for one batch by its id, which stands in its metadata and its file's name, or by its requests."""

    def __init__(self, batch: BatchRecord, account: ProviderAccount) -> None:
        self._batch = batch
        self._tags = Tags(batch.id)
        self._account = account
        self._service = account.service
        self._not_mine = set[str]()
        self._since = datetime.datetime.fromisoformat(batch.created_at).timestamp()

    def forget(self, batch_id: str) -> None:
        """A batch that was refused is not found again."""
        self._not_mine.add(batch_id)

    async def file(self) -> RemoteFile | None:
        """The file of an upload whose end is not recorded; one that the provider did not get whole does not count.

        None also where the provider lists no files: to upload it again costs nothing.
        """

        async def find() -> RemoteFile | None:
            async with aclosing(self._service.files()) as files:
                async for file in files:
                    if file.name == self._tags.file_name and file.bytes == self._batch.bytes:
                        return file
            return None

        try:
            return await self._account.persistently(find)
        except UnusableEndpointError:
            return None

    async def created(self, file_id: str | None) -> RemoteBatch | None:
        """The batch that a request created although its answer was not received; it may be listed some time later.

        Raises EndpointsError where the provider lists none, since it would have to be paid for twice.
        """
        searching = self._account.searching()
        while True:
            try:
                found = await self.all(file_id)
            except UnusableEndpointError as error:
                raise EndpointsError(
                    f"it cannot be found out whether a batch was created, since the provider lists none ({error.detail}); look "
                    f"there for one with {Tags.KEY} {self._batch.id}; cancel it, or run the same command again once it is listed"
                ) from error
            if found:
                return found[0]
            if (anonymous := await self._among_anonymous()) is not None:
                return anonymous
            if searching.is_over:
                return None
            await searching.wait()

    async def all(self, file_id: str | None) -> list[RemoteBatch]:
        """All batches with its id, the first that was created first, then those of its file that have no id, the last one first.

        Some providers keep no metadata, and a few name equal files alike, so that the latter may be another run's. Raises
        UnusableEndpointError where none are listed.
        """

        async def find() -> list[RemoteBatch]:
            found = []
            async with aclosing(self._service.batches()) as batches:
                async for one in batches:
                    by_file = one.tag is None and file_id is not None and one.input_file_id == file_id
                    if (
                        (one.tag == self._batch.id or by_file)
                        and one.id not in self._not_mine
                        and one.status != "failed"
                    ):
                        found.append(one)
                    if one.created_at is not None and one.created_at < self._since - _CLOCK_SKEW_SECONDS:
                        break
            found.sort(key=lambda one: (one.created_at or 0.0, one.id))
            return [one for one in found if one.tag is not None] + [one for one in reversed(found) if one.tag is None]

        return await self._account.persistently(find)

    async def _among_anonymous(self) -> RemoteBatch | None:
        """The batch at a provider that says whose one is only when it has ended, by the custom_ids of its results.

        As long as one of as many requests runs, it may be this one, and is waited for.
        """
        while True:
            runs = False
            for one in await self._candidates():
                if one.status not in ENDED:
                    runs = True
                elif await self._has_my_requests(one):
                    return one
                else:
                    self._not_mine.add(one.id)
            if not runs:
                return None
            await self._account.sleep(self._account.longest_poll_seconds)

    async def _candidates(self) -> list[RemoteBatch]:
        """Anonymous batches of as many requests that are no other batch of this run."""
        known = {one.batch_id for one in await self._account.store.batches.all()} | self._not_mine

        async def find() -> list[RemoteBatch]:
            found = []
            async with aclosing(self._service.batches()) as batches:
                async for one in batches:
                    if one.created_at is not None and one.created_at < self._since - _ANONYMOUS_SKEW_SECONDS:
                        break
                    if one.anonymous_requests == self._batch.requests and one.id not in known:
                        found.append(one)
            return found

        return await self._account.persistently(find)

    async def _has_my_requests(self, remote: RemoteBatch) -> bool:
        """Whether the results of a batch are of this one's requests, all of them: runs may have some requests in common."""
        mine = await self._account.store.batches.waiting(self._batch.id)

        async def are_mine() -> bool:
            found = 0
            async with (
                aclosing(self._service.content(remote.output_file_id or remote.id)) as pieces,
                aclosing(split_lines(pieces)) as lines,
            ):
                async for line in lines:
                    identity = (await read_line(line, Redaction.of([]), self._account.wall_clock())).custom_id
                    if identity is not None and identity not in mine:
                        return False
                    found += identity is not None
            return bool(found)

        try:
            return await self._account.persistently(are_mine)
        except UnusableEndpointError:
            return False
