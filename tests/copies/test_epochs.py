import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from clairgen.copies.epochs import (
    KeptEpoch,
    begin_epoch,
    check_may_go_on,
    epoch_name,
    holds_run,
    newest_epoch,
    next_epoch,
)
from clairgen.copies.objects import sealed
from clairgen.copies.restoring import restore
from clairgen.copies.storage import FolderStorage, Storage, open_storage
from clairgen.errors import REPLACED, CopyError, NewerCopyError, ReplacedError, exit_code
from clairgen.store import RunDirectory
from tests.copies.kept import shipping, take_snapshot
from tests.copies.late_listing import LATE_SECONDS


async def test_who_may_go_on_with_a_copy(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    check_may_go_on(storage, None, "run", [])
    async with shipping(tmp_path / "run", storage) as (store, shipper):
        epoch = newest_epoch(storage)
        assert epoch is not None
        check_may_go_on(storage, epoch, "another", [])  # nothing was ever in it, so nothing is lost
        take_snapshot(shipper)
        run = str(await store.metadata.get("run_id"))
    check_may_go_on(storage, epoch, run, [epoch.token, "older"])
    with pytest.raises(CopyError, match="is of another directory of this run, kept by process"):
        check_may_go_on(storage, epoch, run, ["older"])
    with pytest.raises(CopyError, match="has the copy of another run"):
        check_may_go_on(storage, epoch, "another", [epoch.token])
    storage.delete(["epochs/00000001"])
    with pytest.raises(CopyError, match="not empty and no copy of a run"):
        check_may_go_on(storage, None, run, [])


def test_one_of_two_sessions_that_begin_together_takes_the_copy(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "copy")
    one, other = (next_epoch(None, "run", "2026-01-01T00:00:00+00:00") for _ in range(2))
    begin_epoch(storage, one)
    begin_epoch(storage, one)  # as after a lost reply
    with pytest.raises(CopyError, match="another process has just taken over the copy"):
        begin_epoch(storage, other)
    assert newest_epoch(storage) == one
    storage.put("epochs/00000002", b"torn")
    with pytest.raises(CopyError, match=r"epochs/00000002 in the copy at .* is not whole; if it is damaged"):
        newest_epoch(storage)


@pytest.mark.parametrize("is_own_listed", [True, False])
def test_an_epoch_that_follows_counts_before_any_listing_has_it(tmp_path: Path, *, is_own_listed: bool) -> None:
    storage = open_storage(f"late://{tmp_path}/copy")
    first = next_epoch(None, "run", "2026-01-01T00:00:00+00:00")
    begin_epoch(storage, first)
    kept = KeptEpoch(storage, first)
    kept.check()
    if is_own_listed:
        time.sleep(LATE_SECONDS)
    begin_epoch(storage, next_epoch(first, "run", "2026-01-01T00:00:09+00:00"))
    with pytest.raises(ReplacedError, match="since 2026-01-01T00:00:09"):
        kept.check()


def put_newer_epoch(storage: Storage, *, is_like_ours: bool) -> None:
    """An epoch after the newest one, of a format that is not known here."""
    newest = newest_epoch(storage)
    assert newest is not None
    epoch = asdict(next_epoch(newest, newest.run, "2027-01-01T00:00:00+00:00")) if is_like_ours else {"keeper": "new"}
    storage.put(epoch_name(newest.number + 1), sealed(json.dumps({**epoch, "format": 2}).encode()))


@pytest.mark.parametrize("is_like_ours", [True, False])
async def test_a_copy_in_a_newer_format_is_neither_restored_nor_taken_over(tmp_path: Path, is_like_ours: bool) -> None:
    storage = FolderStorage(tmp_path / "copy")
    async with shipping(tmp_path / "run", storage) as (_, shipper):
        take_snapshot(shipper)
        put_newer_epoch(storage, is_like_ours=is_like_ours)
        with pytest.raises(
            ReplacedError, match=r"\(its format is 2, and this clairgen knows up to 1\).*stops asking"
        ) as raised:
            shipper.ship()
        assert exit_code(raised.value) == REPLACED
    with pytest.raises(NewerCopyError, match="; upgrade clairgen here"):
        holds_run(storage)
    for accept_loss in (False, True):
        with pytest.raises(NewerCopyError, match="is kept by a newer clairgen"):
            restore(storage, RunDirectory(tmp_path / "restored"), accept_loss=accept_loss)
    assert not (tmp_path / "restored" / "run.db").exists()
