"""The coordinator of one command: what it keeps lies beside the copies, and nothing that was given is given again."""

import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from clairgen.coordination.coordinator_client import CoordinatorAddress, CoordinatorClient
from clairgen.coordination.wire import Beat, EndpointLimit, Granted, Join, MoneyUse
from clairgen.copies.storage import FolderStorage, open_storage
from clairgen.errors import ConfigError, CopyError, ReplacedError, StoreError
from clairgen.inference.runtime import open_transport
from clairgen.service.coordinator.copied_groups import CopiedGroups
from clairgen.service.coordinator.run_coordinator import run_coordinator
from clairgen.service.runs_root import RunsRoot
from clairgen.store.group_records import GroupRow, MemberRow, ShardRow, new_group
from tests.copies.late_listing import LATE_SECONDS
from tests.ray_cluster.test_shard_process import files_with

BUDGET = 10**13
PAID = EndpointLimit(endpoint="paid", requests_per_minute=600)


def member(allotted: int) -> MemberRow:
    return MemberRow("run", "r", "run", "here", "process", 1, allotted, 0, 0, "today")


def started(
    folder: Path, copies: Path | None, *, no_budget: bool = False
) -> AbstractAsyncContextManager[CoordinatorAddress]:
    return run_coordinator(
        "127.0.0.1", RunsRoot(folder), "run", None if copies is None else str(copies), {}, no_budget=no_budget
    )


async def given(
    address: CoordinatorAddress, *, budget: int | None, spent: int = 0, wanted: int = 0, location: str = "here"
) -> Granted:
    """What a member is told that begins with a run, has spent so much of it, and wants so much."""
    transport = open_transport(lambda _: None)
    client = CoordinatorClient(transport, address, "run")
    try:
        join = Join(session="s", run_id="r", run="run", location=location, spent=spent, budget=budget, limits=(PAID,))
        await client.join(join)
        money = MoneyUse(spent=spent, allotted=spent, needed=spent, wanted=wanted)
        return await client.beat(Beat(session="s", run_id="r", sequence=1, money=money))
    finally:
        await transport.close()


@pytest.mark.parametrize("has_copies", [True, False])
async def test_a_command_that_comes_again_gives_no_dollar_twice(tmp_path: Path, *, has_copies: bool) -> None:
    copies = tmp_path / "copies" if has_copies else None
    async with started(tmp_path, copies) as former:
        granted = (await given(former, budget=BUDGET, wanted=BUDGET)).money
        assert granted is not None
        assert granted.allotted == BUDGET // 2
    async with started(tmp_path, copies) as address:  # the first one was killed, for all that is known
        assert address.token != former.token
        with pytest.raises(ConfigError, match="asks for a valid token"):
            await given(CoordinatorAddress(address.url, former.token), budget=BUDGET)
        larger = await given(address, budget=2 * BUDGET, spent=1, wanted=0)  # nobody is at work with the former one
        assert larger.money is not None
        assert (larger.money.budget, larger.money.others) == (2 * BUDGET, 0)
    async with started(tmp_path, copies, no_budget=True) as address:
        assert (await given(address, budget=None)).money is None
    assert files_with(former.token or "", tmp_path) == files_with(address.token or "", tmp_path) == []


async def test_what_another_machine_was_granted_counts_where_its_disk_is_lost(tmp_path: Path) -> None:
    records = CopiedGroups(FolderStorage(tmp_path / "copies"), "run")
    records.save([GroupRow("run", BUDGET, "today"), member(4 * 10**12)])
    (tmp_path / "another").mkdir()
    async with started(tmp_path / "another", tmp_path / "copies") as address:
        granted = await given(address, budget=BUDGET, spent=10**12, location="restored there")
    assert granted.money is not None
    assert granted.money.others == 3 * 10**12  # beyond its copy it may have spent these


def test_the_last_command_counts_and_an_earlier_one_gives_nothing_more(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    first = CopiedGroups(storage, "run")
    shard = ShardRow("run", "w", 1, 3, "process", "node 1", "held")
    first.save([new_group("run"), member(5), shard])
    first.save([member(7)])
    assert len(storage.names("groups")) == 1
    second = CopiedGroups(storage, "run")
    assert (second.rows(MemberRow), second.rows(ShardRow)) == ([member(7)], [shard])
    with pytest.raises(ReplacedError, match="another command coordinates the shards"):
        first.save([member(9)])
    second.save([member(8)])
    second.delete_group("other")
    assert CopiedGroups(storage, "run").rows(MemberRow) == [member(8)]
    CopiedGroups(storage, "run").delete_group("run")
    assert CopiedGroups(storage, "run").rows(GroupRow) == []


def test_who_coordinates_is_known_before_any_listing_has_it(tmp_path: Path) -> None:
    storage = open_storage(f"late://{tmp_path}/coordinator")
    first = CopiedGroups(storage, "run")
    first.save([member(7)])
    time.sleep(LATE_SECONDS)
    CopiedGroups(storage, "run")
    with pytest.raises(ReplacedError, match="another command coordinates the shards"):
        first.save([member(9)])


def test_a_write_that_was_cut_off_is_left_out_and_damage_is_refused(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    CopiedGroups(storage, "run").save([member(7)])
    storage.put("groups/00000001-0000000002", b"torn")
    assert CopiedGroups(storage, "run").rows(MemberRow) == [member(7)]
    storage.put("groups/00000001-0000000001", b"torn as well")
    with pytest.raises(CopyError, match=r"no object in groups at .* is whole"):
        CopiedGroups(storage, "run")


def test_the_place_of_another_run_is_left_alone(tmp_path: Path) -> None:
    mine = CopiedGroups(FolderStorage(tmp_path), "mine")
    with pytest.raises(ConfigError, match="is of a run that is called mine, and this one is called other"):
        CopiedGroups(FolderStorage(tmp_path), "other")
    mine.save([member(7)])


def test_what_cannot_be_written_is_said_as_something_to_wait_for(tmp_path: Path) -> None:
    records = CopiedGroups(FolderStorage(tmp_path / "copies"), "run")
    (tmp_path / "copies" / "groups").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        records.save([member(7)])


async def test_an_address_that_is_not_this_machines_is_refused_and_takes_nothing_over(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    running = CopiedGroups(FolderStorage(copies), "run")
    with pytest.raises(ConfigError, match=r"can listen at 192\.0\.2\.77: .*--no-coordinator"):
        async with run_coordinator("192.0.2.77", RunsRoot(tmp_path), "run", str(copies), {}, no_budget=False):
            pass
    running.save([member(7)])
