"""A small run with a copy that is kept step by step, as a session does it, without one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from clairgen.copies.epochs import KNOWN, KeptEpoch, begin_epoch, newest_epoch, next_epoch, tokens_text
from clairgen.copies.shipping import Shipper
from clairgen.copies.storage import Storage
from clairgen.store import RunDirectory, Store, reading, writing


@asynccontextmanager
async def shipping(run: Path, storage: Storage) -> AsyncIterator[tuple[Store, Shipper]]:
    """The store of a run, new or not, and what ships it in a new epoch."""
    directory = RunDirectory(run)
    directory.create()
    async with writing(directory) as store:
        await store.leave_log()
        await store.metadata.initialize("test")
        epoch = next_epoch(newest_epoch(storage), str(await store.metadata.get("run_id")), "2026-01-01T00:00:00+00:00")
        await store.metadata.put(f"{KNOWN}{epoch.copy}", tokens_text(epoch.token))
        begin_epoch(storage, epoch)
        with closing(Shipper(directory, KeptEpoch(storage, epoch))) as shipper:
            yield store, shipper


def take_snapshot(shipper: Shipper) -> None:
    """Put the whole run into the copy."""
    shipper.complete_snapshot(shipper.upload_snapshot(shipper.begin_snapshot()))


async def count_to(store: Store, number: int) -> None:
    """Commit a number, after which a state can be recognised."""
    await store.metadata.put("counted", str(number))


async def counted(run: Path) -> int:
    """The number that a run says it has come to."""
    async with reading(RunDirectory(run)) as store:
        return int(await store.metadata.get("counted") or 0)
