import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from clairgen.copies.epochs import newest_allowance
from clairgen.copies.objects import Segment, segment_name, streams_of
from clairgen.copies.restoring import restore
from clairgen.copies.storage import FolderStorage, open_storage
from clairgen.errors import COPY, REPLACED, CopyError, CopyStoppedError, ReplacedError, exit_code
from clairgen.store import Call, RunDirectory, reading
from tests.copies.kept import count_to, counted, shipping, take_snapshot


class Failing(FolderStorage):
    """A folder that fails when told to; what was to be written then is there all the same, as after a lost reply."""

    fails = False
    written: list[tuple[str, bytes]]

    def put(self, name: str, content: bytes) -> None:
        """Write an object, and perhaps say that it failed."""
        super().put(name, content)
        self.__dict__.setdefault("written", []).append((name, content))
        if self.fails:
            raise CopyError(f"the copy at {self.address} cannot be written: no reply")


async def test_what_may_have_been_written_is_written_again_as_it_was(tmp_path: Path) -> None:
    storage = Failing(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (store, shipper):
        take_snapshot(shipper)
        storage.fails = True
        for number in (1, 2, 3):
            await count_to(store, number)
            with pytest.raises(CopyError):
                shipper.ship()
        storage.fails = False
        shipper.ship()
    by_name: dict[str, set[bytes]] = {}
    for name, content in storage.written:
        by_name.setdefault(name, set()).add(content)
    assert all(len(contents) == 1 for contents in by_name.values())
    restore(storage, RunDirectory(tmp_path / "restored"))
    assert await counted(tmp_path / "restored") == 3


async def test_the_last_two_snapshots_are_kept_and_what_they_need(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    sizes = []
    for session in range(4):
        async with shipping(tmp_path / "run", storage) as (store, shipper):
            take_snapshot(shipper)
            for number in range(5):
                await count_to(store, 10 * session + number)
                shipper.ship()
                take_snapshot(shipper)
        streams = streams_of(storage.names())
        assert [len(stream.snapshots) for stream in streams] == [2]
        assert streams[0].segments == tuple(range(streams[0].snapshots[0] + 1, streams[0].segments[-1] + 1))
        sizes.append(len(storage.names()))
    assert sizes[1:] == sizes[1:2] * 3
    assert storage.names("epochs") == ["epochs/00000003", "epochs/00000004"]
    restore(storage, RunDirectory(tmp_path / "restored"))
    assert await counted(tmp_path / "restored") == 34


async def test_a_new_epoch_keeps_the_snapshot_of_the_one_before_until_it_has_two(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    for number in (1, 2):
        async with shipping(tmp_path / "run", storage) as (store, shipper):
            await count_to(store, number)
            take_snapshot(shipper)
    assert [stream.epoch for stream in streams_of(storage.names())] == [2, 1]


async def test_commits_that_another_program_moved_away_are_in_a_new_stream(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (store, shipper):
        take_snapshot(shipper)
        await count_to(store, 1)
        with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as other:
            other.execute("PRAGMA wal_checkpoint(RESTART)")
            await count_to(store, 2)
        shipper.ship()
        before = shipper.wants_snapshot
        take_snapshot(shipper)
        assert (before, shipper.wants_snapshot) == (True, False)
    assert [stream.name for stream in streams_of(storage.names())] == ["00000001-0002", "00000001-0001"]
    restore(storage, RunDirectory(tmp_path / "restored"))
    assert await counted(tmp_path / "restored") == 2


async def test_a_database_that_shrinks_is_restored_as_large_as_it_is(tmp_path: Path) -> None:
    storage, run = FolderStorage(tmp_path / "copy"), RunDirectory(tmp_path / "run")
    async with shipping(run.path, storage) as (store, shipper):
        await store.metadata.put("large", "x" * 300_000)
        take_snapshot(shipper)
        await store.metadata.put("large", "small by now")
        with closing(sqlite3.connect(run.database, isolation_level=None)) as other:
            other.execute("PRAGMA wal_autocheckpoint = 0")
            other.execute("VACUUM")
        shipper.ship()
        assert [stream.name for stream in streams_of(storage.names())] == ["00000001-0001"]
    restore(storage, RunDirectory(tmp_path / "restored"))
    assert (tmp_path / "restored" / "run.db").stat().st_size == run.database.stat().st_size


async def test_a_segment_that_does_not_follow_the_one_before_ends_what_can_be_restored(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (store, shipper):
        take_snapshot(shipper)
        for number in (1, 2):
            await count_to(store, number)
            shipper.ship()
    last = streams_of(storage.names())[0].segments[-1]
    name = segment_name("00000001-0001", last)
    segment = Segment.unsealed(storage.get(name))
    assert segment is not None
    storage.put(name, replace(segment, previous="0" * 64).sealed())
    restore(storage, RunDirectory(tmp_path / "restored"))
    assert await counted(tmp_path / "restored") == 1


async def test_commits_during_a_snapshot_are_in_it_or_after_it(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (store, shipper):
        await count_to(store, 1)
        base = shipper.begin_snapshot()
        await count_to(store, 2)
        uploaded = shipper.upload_snapshot(base)
        await count_to(store, 3)
        shipper.ship()
        await count_to(store, 4)
        shipper.complete_snapshot(uploaded)
    restore(storage, RunDirectory(tmp_path / "restored"))
    assert await counted(tmp_path / "restored") == 4


@pytest.mark.parametrize("scheme", ["", "memory://"])
async def test_an_older_holder_stops_and_writes_nothing_over_the_newer_ones(tmp_path: Path, scheme: str) -> None:
    storage = open_storage(f"{scheme}{tmp_path}/copy")
    async with shipping(tmp_path / "run", storage) as (store, shipper):
        await count_to(store, 1)
        take_snapshot(shipper)
        restore(storage, RunDirectory(tmp_path / "elsewhere"))
        async with shipping(tmp_path / "elsewhere", storage) as (other_store, other):
            await count_to(other_store, 2)
            take_snapshot(other)
            await count_to(store, 7)
            with pytest.raises(ReplacedError, match=r"is kept by process .* and no longer by this process") as raised:
                shipper.ship()
            assert exit_code(raised.value) == REPLACED
            assert streams_of(storage.names())[0].epoch == 2
    restore(storage, RunDirectory(tmp_path / "restored"))
    assert await counted(tmp_path / "restored") == 2


async def test_a_copy_that_is_deleted_while_it_is_kept_stops_its_session(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (_, shipper):
        take_snapshot(shipper)
        storage.delete(storage.names())
        with pytest.raises(CopyStoppedError, match="was deleted"):
            shipper.ship()


async def test_a_copy_whose_address_another_run_took_names_no_session_to_go_on_with(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (_, shipper), shipping(tmp_path / "other", storage):
        with pytest.raises(CopyStoppedError, match="is the address of another run by now") as raised:
            shipper.ship()
    assert exit_code(raised.value) == COPY


async def test_a_commit_larger_than_memory_may_hold_begins_a_new_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clairgen.store.write_ahead_log._LARGEST_COMMIT_BYTES", 100_000)
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (store, shipper):
        take_snapshot(shipper)
        await store.metadata.put("large", "x" * 300_000)
        shipper.ship()
        assert not shipper.is_restorable
        take_snapshot(shipper)
        await count_to(store, 5)
        shipper.ship()
    assert segment_name("00000001-0002", 1) in storage.names()
    restore(storage, RunDirectory(tmp_path / "restored"))
    assert await counted(tmp_path / "restored") == 5


async def test_what_a_run_may_have_come_to_counts_as_spent_where_it_is_restored(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (store, shipper):
        await store.spending.reserve(Call(1, "target", 30))
        await store.spending.settle(Call(1, "target", 30), 20)
        take_snapshot(shipper)
        assert newest_allowance(storage) == 0
        for allowance in (100, 5 * 10**12, 7 * 10**12):
            shipper.kept.state_allowance(allowance)
            assert newest_allowance(storage) == allowance
        assert len(storage.names("allowances")) == 1
    restored = restore(storage, RunDirectory(tmp_path / "restored"))
    assert restored.sentence.endswith("; up to $7.0000 may have been spent after that, and count as spent")
    async with reading(RunDirectory(tmp_path / "restored")) as store:
        spent = await store.spending.total()
    assert (spent.settled, spent.unsettled, spent.open_calls) == (20, 7 * 10**12 - 20, 1)


async def test_who_keeps_a_copy_no_longer_may_not_spend_what_it_states(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (_, shipper):
        take_snapshot(shipper)
        shipper.kept.state_allowance(5)
        restore(storage, RunDirectory(tmp_path / "elsewhere"))
        async with shipping(tmp_path / "elsewhere", storage) as (_, other):
            with pytest.raises(ReplacedError):
                shipper.kept.state_allowance(9)
            other.kept.state_allowance(6)
            with pytest.raises(ReplacedError):
                shipper.kept.state_allowance(10)
    assert newest_allowance(storage) == 6
