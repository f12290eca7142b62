"""Further batches that a provider made of one request to create one: they would cost the same again, so they are cancelled."""

from collections.abc import Sequence
from dataclasses import replace

from clairgen.errors import UnusableEndpointError
from clairgen.inference.batch_service import RemoteBatch
from clairgen.pipeline.batch_lane.batch_search import BatchSearch
from clairgen.pipeline.batch_lane.provider_account import ProviderAccount
from clairgen.store import BatchRecord


class Duplicates:
    """The duplicates of one batch: `ids` are the provider's, by those of their records."""

    def __init__(self, account: ProviderAccount, search: BatchSearch, records: Sequence[BatchRecord] = ()) -> None:
        self.ids = {one.id: one.batch_id for one in records if one.batch_id is not None}
        self._account = account
        self._search = search
        self._not_provably_ours = set[str]()

    async def find(self, batch: BatchRecord) -> None:
        """Look for those of a created batch, and record and cancel them: what does not have its id is left alone."""
        try:
            mine = await self._search.all(batch.file_id)
        except UnusableEndpointError:
            mine = []  # the provider lists none
        for other in mine:
            if other.id == batch.batch_id or other.id in self.ids.values():
                continue
            if other.tag == batch.id:
                await self._record(batch, other)
            elif other.id not in self._not_provably_ours:
                self._not_provably_ours.add(other.id)
                self._account.note(
                    f"the provider lists another batch ({other.id}) of the same file as {batch.batch_id}, without the id that "
                    "this run gave it, so it may be another run's and is left alone; if it is nobody else's, cancel it there"
                )
        for other_id in self.ids.values():
            await self._account.cancel(other_id)

    async def _record(self, batch: BatchRecord, other: RemoteBatch) -> None:
        identity = f"{batch.id}-again-{len(self.ids) + 1}"
        record = replace(batch, id=identity, batch_id=other.id, duplicate_of=batch.id, status=other.status, requests=0)
        await self._account.store.batches.add_duplicate(record)
        self.ids[identity] = other.id
        self._account.note(
            f"the provider made a second batch ({other.id}) of the requests of {batch.batch_id}; it is cancelled; what it has "
            "answered already may be billed in addition"
        )
