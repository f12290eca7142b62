import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clairgen.copies import restoring
from clairgen.copies.epochs import holds_run
from clairgen.copies.objects import FilePiece, Segment, snapshot_name, streams_of
from clairgen.copies.restoring import restore
from clairgen.copies.storage import FolderStorage, open_storage
from clairgen.errors import CopyError, RunError
from clairgen.store import RunDirectory
from clairgen.store.directory import UNFINISHED
from tests.copies.kept import count_to, counted, shipping, take_snapshot

STATES = 8


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with two snapshots, and a segment for each number that the run counted to after them."""
    place = tmp_path_factory.mktemp("made")
    asyncio.run(made_copy(place))
    return place / "copy"


async def made_copy(place: Path) -> None:
    async with shipping(place / "run", FolderStorage(place / "copy")) as (store, shipper):
        (place / "run" / "run.log").write_text("0\n")
        take_snapshot(shipper)
        for number in range(1, STATES + 1):
            await count_to(store, number)
            with (place / "run" / "run.log").open("a") as log:
                log.write(f"{number}\n")
            if number == STATES // 2:
                take_snapshot(shipper)
            shipper.ship()


async def test_a_run_is_restored_with_its_small_files(copy: Path, tmp_path: Path) -> None:
    restored = restore(FolderStorage(copy), RunDirectory(tmp_path / "run"))
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.db", "run.log"}
    assert await counted(tmp_path / "run") == STATES
    assert (tmp_path / "run" / "run.log").read_text().split() == [str(number) for number in range(STATES + 1)]
    assert restored.left_out == 0


def test_a_place_without_a_copy_is_said(tmp_path: Path) -> None:
    assert not holds_run(FolderStorage(tmp_path / "nothing"))
    with pytest.raises(CopyError, match="there is no copy of a run at"):
        restore(open_storage(f"memory://{tmp_path}"), RunDirectory(tmp_path / "run"))


def test_only_a_new_folder_is_restored_into(copy: Path, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    restore(FolderStorage(copy), run)
    with pytest.raises(RunError, match="has a run, and a copy is restored into a new folder"):
        restore(FolderStorage(copy), run)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(RunError, match="not a run directory and not empty"):
        restore(FolderStorage(copy), RunDirectory(tmp_path / "other"))


async def test_a_restore_that_was_killed_is_begun_again(copy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / UNFINISHED).mkdir(parents=True)
    (run / UNFINISHED / "run.db").write_text("half of it")
    (run / "run.log").write_text("was in its place already")
    restore(FolderStorage(copy), RunDirectory(run))
    assert not (run / UNFINISHED).exists()
    assert await counted(run) == STATES


async def test_a_run_that_was_killed_before_its_database_had_anything_is_restored(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "run.db").touch()
    (tmp_path / "lock").touch()
    restore(FolderStorage(copy), RunDirectory(tmp_path))
    assert await counted(tmp_path) == STATES


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_whatever_is_torn_of_the_newest_objects_it_is_a_committed_state_or_a_sentence(
    copy: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("torn")
    shutil.copytree(copy, place / "copy")
    names = sorted(
        (path for path in (place / "copy").rglob("*") if path.is_file() and path.parent.name != "epochs"),
        key=lambda path: (path.stat().st_mtime_ns, path.name),
    )
    for path in data.draw(st.lists(st.sampled_from(names[-9:]), min_size=1, max_size=4, unique=True)):
        content = path.read_bytes()
        match data.draw(st.sampled_from(["gone", "cut", "changed"])):
            case "gone":
                path.unlink()
            case "cut":
                path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
            case "changed":
                at = data.draw(st.integers(0, len(content) - 1))
                path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    accept_loss = data.draw(st.booleans())
    try:
        restored = restore(FolderStorage(place / "copy"), RunDirectory(place / "run"), accept_loss=accept_loss)
    except CopyError as error:
        assert "is damaged" in str(error) or "cannot be restored" in str(error)
        assert not (place / "run" / "run.db").exists()
        return
    state = await counted(place / "run")
    assert (place / "run" / "run.log").read_text().split() == [str(number) for number in range(state + 1)]
    assert accept_loss or restored.left_out == 0


async def test_a_damaged_copy_is_restored_as_far_as_it_is_whole_if_that_is_accepted(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "copy")
    storage = FolderStorage(tmp_path / "copy")
    stream = streams_of(storage.names())[0]
    storage.delete([f"{stream.name}/segments/{stream.segments[-3]:010}"])
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(CopyError, match=r"is damaged: it can be restored with .*2 later objects could not be used"):
        restore(storage, run)
    assert restore(storage, run, accept_loss=True).left_out == 2
    assert await counted(run.path) == STATES - 3


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
async def test_a_copy_without_a_whole_record_of_whose_it_is_is_restored_if_that_is_accepted(
    copy: Path, tmp_path: Path, content: bytes | None
) -> None:
    shutil.copytree(copy, tmp_path / "copy")
    storage = FolderStorage(tmp_path / "copy")
    if content is None:
        storage.delete(storage.names("epochs"))
    else:
        storage.put("epochs/00000001", content)
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(CopyError, match="restore with --accept-loss, and go on with a new place for --copy-to"):
        restore(storage, run)
    assert restore(storage, run, accept_loss=True).left_out == 0
    assert await counted(run.path) == STATES


async def test_a_snapshot_that_is_damaged_costs_nothing_while_the_one_before_is_whole(
    copy: Path, tmp_path: Path
) -> None:
    shutil.copytree(copy, tmp_path / "copy")
    storage = FolderStorage(tmp_path / "copy")
    stream = streams_of(storage.names())[0]
    storage.put(snapshot_name(stream.name, stream.snapshots[-1], 1), b"torn")
    restore(storage, RunDirectory(tmp_path / "run"))
    assert await counted(tmp_path / "run") == STATES


@pytest.mark.parametrize("name", ["../run.db", "/etc/passwd", "run.db", "batches/../../x", "batches/.x", "lock"])
def test_no_file_is_written_outside_of_what_a_copy_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(restoring._DamagedError):
        restoring._apply(tmp_path, FilePiece(name, 0, b"hostile"))
    assert list(tmp_path.iterdir()) == []


def test_a_segment_is_read_as_it_was_written() -> None:
    files = [FilePiece("run.log", 3, b"more"), FilePiece("batches/a", -1, b"")]
    segment = Segment(7, "run", "before", 1.5, True, 4, 2, {1: b"1234", 2: b"\0\n\xff5"}, files)
    assert Segment.unsealed(segment.sealed()) == segment
    assert Segment.unsealed(segment.sealed()[:-1]) is None
