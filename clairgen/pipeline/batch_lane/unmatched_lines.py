"""Lines of results that no request waits for: read before, of nobody, or unreadable; what they may mean, where they are kept."""

from collections.abc import Container

from clairgen.inference.batch_lines import LineResult, UnreadableLine, ids_named_in
from clairgen.inference.openai_format import ChatAnswer
from clairgen.inference.redaction import Redaction
from clairgen.pipeline.budget import Budget
from clairgen.store import ANSWERED, BatchRecord, Store


class UnmatchedLines:
    """Such lines of one batch. `taken` has a hash of each line that was matched in this session, by its request.

    `from_duplicate` is the id of a second batch of the same requests while its results are taken: they are extra.
    """

    def __init__(
        self, batch: BatchRecord, waiting: Container[str], store: Store, budget: Budget | None, redaction: Redaction
    ) -> None:
        self.taken: dict[str, int] = {}
        self.from_duplicate: str | None = None
        self._batch = batch
        self._waiting = waiting
        self._store = store
        self._budget = budget
        self._redaction = redaction
        self._keeping = set[int]()
        self._unreadable: dict[str | None, str] = {}
        self._unreadable_in: dict[str, dict[str | None, str]] = {}

    @property
    def unreadable(self) -> dict[str | None, str]:
        """Why lines cannot be read, by the request that they are the results of; None for a line of which that is not known.

        A line counts as long as it could not be read when its file was last downloaded.
        """
        return {name: why for found in self._unreadable_in.values() for name, why in found.items()}

    def begin(self, file_id: str) -> None:
        """The lines that follow are those of one download of this file."""
        self._unreadable = self._unreadable_in[file_id] = {}

    async def note_unreadable(self, found: UnreadableLine, line: bytes) -> None:
        """Note whose result a line may be that cannot be read."""
        self._unreadable.setdefault(await self._named_in(line), found.why)

    async def keep_unreadable(self, found: UnreadableLine, line: bytes) -> None:
        """Keep a line that cannot be read. Raises StoreError."""
        await self._keep(found.custom_id, found.why, line, None)

    async def keep(self, found: LineResult, line: bytes, cost: int | None) -> None:
        """Keep a line that no request waits for; its cost, where it is known, is counted as spent. Raises StoreError."""
        await self._keep(found.custom_id, "no request of this batch waits for it", line, cost)

    async def is_read_again(self, found: LineResult, line: bytes) -> bool:
        """Whether a line was taken before, in a download that broke off: by now, or by an earlier session."""
        if self.from_duplicate is not None:
            return False
        if found.custom_id in self.taken:
            return self.taken[found.custom_id] == hash(line)
        outcome = await self._store.batches.outcome(self._batch.id, found.custom_id)
        if outcome is None or not isinstance(found.outcome, ChatAnswer):
            return outcome not in (None, ANSWERED)
        stored = await self._store.completions.find(found.custom_id) if outcome == ANSWERED else None
        sent = (found.outcome.text, found.outcome.response_id, found.outcome.usage)
        return stored is not None and (stored.text, stored.response_id, stored.usage) == sent

    async def _named_in(self, line: bytes) -> str | None:
        """The request of this batch that a line which cannot be read is the result of; None if that is not known."""
        named = ids_named_in(line)
        if len(named) != 1:
            return None
        key = named.pop()
        if key in self._waiting or key in self.taken:
            return key
        return key if await self._store.batches.outcome(self._batch.id, key) is not None else None

    async def _keep(self, custom_id: str | None, why: str, line: bytes, cost: int | None) -> None:
        line = self._redaction.body(line)
        batch, content = self.from_duplicate or self._batch.id, hash(line)
        if content in self._keeping:
            return
        self._keeping.add(content)
        try:
            if await self._store.batches.has_stray(batch, line):
                return
            call = self._budget.billed(self._batch.role, cost) if self._budget is not None and cost else None
            await self._store.batches.keep_stray(batch, why, custom_id, line, call)
        finally:
            self._keeping.discard(content)
