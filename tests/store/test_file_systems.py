"""Where a run may be, and how it is used on a file system that several machines have mounted.

The kernel mounts none here, so what /proc/mounts says is replaced; the processes and the database are real.
"""

import asyncio
import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from clairgen.errors import InUseError, RunError
from clairgen.store import RunDirectory, file_systems, migrate, reading, short_write, writing
from clairgen.store.file_systems import (
    is_shared,
    mount_of,
    refuse_network_file_system,
    refuse_unsafe_file_system,
)
from clairgen.store.read_connection import committed_rows, holds_nothing
from tests.store.test_directory import folder_for_all, made, read_only

ROLLBACK_JOURNAL, WRITE_AHEAD_LOG = b"\1\1", b"\2\2"


def journal(run: RunDirectory) -> bytes:
    """The two bytes of SQLite's header that say how a database is written."""
    with run.database.open("rb") as file:
        return file.read(20)[18:]


def files(run: RunDirectory) -> set[str]:
    return {path.name for path in run.path.iterdir()}


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """What /proc/mounts says: the folder `my share` is on another machine."""
    shared = str(tmp_path / "my share").replace(" ", r"\040")
    path = tmp_path / "mounts"
    path.write_text(f"dev / ext4 rw 0 0\nhost:/x {shared} nfs4 rw,vers=4.2,local_lock=none 0 0\n")
    return path


@pytest.fixture
def share(tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a network file system, as this process sees it."""
    monkeypatch.setattr(file_systems, "MOUNTS", mounts)
    (tmp_path / "my share").mkdir()
    return tmp_path / "my share"


@contextlib.contextmanager
def another_process(run: RunDirectory, mounts: Path, does: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has done what it does to `run`, and waits for a line to end."""
    script = f"""
        import asyncio, sys
        from pathlib import Path
        from clairgen.store import RunDirectory, file_systems, reading, writing
        file_systems.MOUNTS = Path(sys.argv[2])
        run = RunDirectory(Path(sys.argv[1]))
        async def main():
            {does}:
                print("begun", flush=True)
                sys.stdin.readline()
        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(run.path), str(mounts)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            process.communicate("\n")


WRITES = "with run.locked():\n             async with writing(run) as store"
READS = "async with reading(run) as store"


def test_the_last_mount_that_holds_a_folder_says_what_it_is_on(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "dev / ext4 rw 0 0\nhost:/é /mnt/é\\040x nfs4 rw,hard 0 0\ndev /mnt/é\\040x/scratch xfs rw 0 0\n"
        "a /twice ext4 rw 0 0\nb /twice lustre rw,flock 0 0\n"
    )
    found = {
        place: mount_of(Path(place), mounts)
        for place in ("/mnt/é x/run.db", "/mnt/é x/scratch/run/run.db", "/mnt/run.db", "/twice/run.db")
    }
    assert {place: mount and mount.kind for place, mount in found.items()} == {
        "/mnt/é x/run.db": "nfs4",
        "/mnt/é x/scratch/run/run.db": "xfs",
        "/mnt/run.db": "ext4",
        "/twice/run.db": "lustre",
    }
    assert mount_of(tmp_path, tmp_path / "no such file") is None
    assert not is_shared(tmp_path, tmp_path / "no such file")


@pytest.mark.parametrize(
    ("line", "shared", "refused"),
    [
        ("dev / ext4 rw", False, None),
        ("overlay / overlay rw", False, None),
        ("tmpfs / tmpfs rw", False, None),
        ("fuse-overlayfs / fuse.fuse-overlayfs rw", False, None),
        ("host:/x / nfs rw,hard,local_lock=none", True, None),
        ("host:/x / nfs rw,nolock,local_lock=all", True, "mounted with local_lock=all, so that locks do not reach"),
        ("host:/x / nfs4 rw,local_lock=flock", True, None),
        ("a@tcp:/b / lustre rw,flock,lazystatfs", True, None),
        ("a@tcp:/b / lustre rw,localflock", True, "mounted with localflock"),
        ("gpfs0 / gpfs rw", True, None),
        ("a:/ / ceph rw,name=x", True, None),
        ("ceph-fuse / fuse.ceph-fuse rw", True, None),
        ("//host/x / cifs rw,vers=3.1.1", True, None),
        ("//host/x / cifs rw,nobrl", True, "mounted with nobrl"),
        ("you@host:/x / fuse.sshfs rw", True, None),
        ("s3fs / fuse.s3fs rw", True, r"object store that is mounted as files \(s3fs, fuse\.s3fs\)"),
        ("mountpoint-s3 / fuse rw", True, r"object store that is mounted as files \(mountpoint-s3, fuse\)"),
        ("/a / fuse rw", True, None),
    ],
)
def test_what_is_safe_where(line: str, shared: bool, refused: str | None, tmp_path: Path) -> None:
    (mounts := tmp_path / "mounts").write_text(f"{line} 0 0\n")
    database = tmp_path / "run" / "run.db"
    assert is_shared(database, mounts) == shared
    with pytest.raises(RunError, match=refused) if refused else contextlib.nullcontext():
        refuse_unsafe_file_system(database, mounts)
    with (
        pytest.raises(RunError, match=r"is on a network file system .*, where run\.db, which several processes write")
        if shared
        else contextlib.nullcontext()
    ):
        refuse_network_file_system(database, mounts)


async def test_a_run_on_a_network_file_system_is_written_without_shared_memory(share: Path) -> None:
    run = await made(share / "run")
    assert (journal(run), files(run)) == (ROLLBACK_JOURNAL, {"run.db"})
    async with writing(run) as store:
        await store.metadata.put("a", "1")
        assert await store.metadata.get("a") == "1"  # read over another connection of this process
        assert (journal(run), files(run)) == (WRITE_AHEAD_LOG, {"run.db", "run.db-wal"})
    assert (journal(run), files(run)) == (ROLLBACK_JOURNAL, {"run.db"})
    async with reading(run) as one, reading(run, snapshot=True) as other:
        assert await one.metadata.get("a") == await other.metadata.get("a") == "1"
    assert files(run) == {"run.db"}


async def test_readers_beside_a_process_that_writes_are_refused_at_once_and_read_when_it_has_ended(
    share: Path, mounts: Path
) -> None:
    run = await made(share / "run")
    with another_process(run, mounts, WRITES):
        for snapshot in (False, True):
            with pytest.raises(
                InUseError, match=r"is in use by another process, and on a .*: clairgen status shows how far"
            ):
                async with reading(run, snapshot=snapshot):
                    pass
        with pytest.raises(InUseError, match="is in use by process"):
            await migrate(run.path)
        with pytest.raises(InUseError, match="in use by another process"):
            await short_write(run, lambda store: store.metadata.put("a", "1"))
        assert committed_rows(run.database) == 0
        assert not holds_nothing(run.database)
        assert files(run) == {"run.db", "run.db-wal", "lock"}
    await short_write(run, lambda store: store.metadata.put("a", "1"))
    async with reading(run) as store:
        assert await store.metadata.get("a") == "1"
    assert files(run) == {"run.db", "lock"}


async def test_a_process_beside_one_that_reads_waits_before_it_writes(share: Path, mounts: Path) -> None:
    run = await made(share / "run")
    with another_process(run, mounts, READS) as reader:
        async with reading(run):
            pass  # any number of processes read
        with pytest.raises(InUseError, match="in use by another process"):
            await short_write(run, lambda store: store.metadata.put("a", "1"))
        assert reader.stdin is not None
        writer = asyncio.create_task(migrate(run.path))
        await asyncio.sleep(0.2)
        assert not writer.done()
        reader.stdin.write("\n")
        reader.stdin.flush()
        await writer


async def test_nothing_that_was_committed_is_lost_when_twenty_writers_are_killed(share: Path, mounts: Path) -> None:
    run = await made(share / "run")
    command = [sys.executable, "-m", "tests.store.killed_alone", str(run.path), str(mounts), "20"]
    process = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, text=True, check=True)
    said = [json.loads(line) for line in process.stdout.splitlines()]
    assert len(said) == 20
    assert all(one["left"] for one in said)  # each was killed while it wrote
    assert (journal(run), files(run)) == (WRITE_AHEAD_LOG, {"run.db", "run.db-wal", "lock"})
    async with reading(run) as store:
        for one in said:
            kept = await store.metadata.with_prefix(f"{one['name']}-")
            assert len(kept) - one["keys"] in (0, 1)  # the last one may have been committed and not acknowledged
    assert (journal(run), files(run)) == (ROLLBACK_JOURNAL, {"run.db", "lock"})
    with contextlib.closing(sqlite3.connect(run.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_what_a_killed_writer_left_is_not_read_where_nobody_can_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with folder_for_all() as folder:
        (mounts := folder / "mounts").write_text(f"host:/x {folder} nfs4 rw 0 0\n")
        run = await made(folder / "run")  # on a local disk, so that it has a write-ahead log by its header
        monkeypatch.setattr(file_systems, "MOUNTS", mounts)
        with read_only(run.path):
            async with reading(run) as store:
                assert await store.tasks.count() == 0
        (run.path / "run.db-wal").write_bytes(b"what was not merged yet")
        with (
            read_only(run.path),
            pytest.raises(RunError, match=r"stopped in the middle of a write; .*: clairgen migrate"),
        ):
            async with reading(run):
                pass


async def test_a_run_goes_from_a_local_disk_to_a_network_file_system_and_back(share: Path, tmp_path: Path) -> None:
    local = await made(tmp_path / "local")
    async with writing(local) as store:
        await store.metadata.put("a", "1")
    assert journal(local) == WRITE_AHEAD_LOG
    there = RunDirectory(share / "run")
    shutil.copytree(local.path, there.path)
    async with reading(there) as store:
        assert await store.metadata.get("a") == "1"
    async with writing(there) as store:
        await store.metadata.put("a", "2")
    assert files(there) - {"lock"} == {"run.db"}
    back = RunDirectory(tmp_path / "back")
    shutil.copytree(there.path, back.path)
    async with writing(back) as store, reading(back) as beside:
        await store.metadata.put("a", "3")
        assert await beside.metadata.get("a") == "3"
    assert journal(back) == WRITE_AHEAD_LOG
