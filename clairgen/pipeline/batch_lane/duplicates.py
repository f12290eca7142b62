"""Further batches that a provider made of one request to create one: they would cost the same again, so they are cancelled."""

from collections.abc import Sequence
from dataclasses import replace

from clairgen.errors import UnusableEndpointError
from clairgen.pipeline.batch_lane.batch_search import BatchSearch
from clairgen.pipeline.batch_lane.provider_account import ProviderAccount
from clairgen.store import BatchRecord


class Duplicates:
    """The duplicates of one batch: `ids` are the provider's, by those of their records."""

    def __init__(self, account: ProviderAccount, search: BatchSearch, records: Sequence[BatchRecord] = ()) -> None:
        self.ids = {one.id: one.batch_id for one in records if one.batch_id is not None}
        self._account = account
        self._search = search

    async def find(self, batch: BatchRecord) -> None:
        """Look for those of a created batch, and record and cancel them."""
        try:
            mine = await self._search.all(batch.file_id)
        except UnusableEndpointError:
            mine = []  # the provider lists none
        for other in mine:
            if other.id == batch.batch_id or other.id in self.ids.values():
                continue
            identity = f"{batch.id}-again-{len(self.ids) + 1}"
            record = replace(
                batch, id=identity, batch_id=other.id, duplicate_of=batch.id, status=other.status, requests=0
            )
            await self._account.store.batches.add_duplicate(record)
            self.ids[identity] = other.id
            self._account.note(
                f"the provider made a second batch ({other.id}) of the requests of {batch.batch_id}; it is cancelled; what it "
                "has answered already may be billed in addition"
            )
        for other_id in self.ids.values():
            await self._account.cancel(other_id)
