"""The batches of a run as they are recorded: how old they are, what came back, when they expire. Reads, and asks nobody."""

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clairgen.store import BatchNumbers, BatchRecord, RunDirectory, Store, reading


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """A batch of a run, and how its requests stand by their own outcomes; the provider's counts are in `batch`."""

    batch: BatchRecord
    numbers: BatchNumbers

    @property
    def is_open(self) -> bool:
        """Whether something of it is still to come."""
        return self.batch.state != "ended"

    def age_seconds(self, now_seconds: float) -> float:
        """How long ago it was submitted, or collected if it was not yet."""
        since = datetime.datetime.fromisoformat(self.batch.submitted_at or self.batch.created_at)
        return max(0.0, now_seconds - since.timestamp())

    def to_json(self) -> dict[str, Any]:
        """The stable object of `batches --json`."""
        return {**asdict(self.batch), **asdict(self.numbers)}


async def batches(run: Path | str) -> list[BatchStatus]:
    """All batches of a run in the order in which they were collected."""
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        return await batches_of(store)


async def open_batches(run: Path | str) -> list[BatchRecord]:
    """Those of a run that have not ended, as they are recorded, which is cheap to read."""
    async with reading(RunDirectory(Path(run))) as store:
        return [one for one in await store.batches.all(open_only=True) if one.duplicate_of is None]


async def batches_of(store: Store) -> list[BatchStatus]:
    """The same of an open store."""
    numbers = await store.batches.numbers()
    nothing = BatchNumbers(0, 0, {}, 0)
    return [BatchStatus(record, numbers.get(record.id, nothing)) for record in await store.batches.all()]
