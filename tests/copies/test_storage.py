import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clairgen.copies.storage import FolderStorage, Storage, open_storage
from clairgen.errors import ConfigError, CopyError


@pytest.fixture(params=["folder", "file", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    addresses = {"folder": f"{tmp_path}/a copy", "file": f"file://{tmp_path}/copy", "memory": f"memory://{tmp_path}"}
    return open_storage(addresses[request.param])


def test_objects_are_found_by_their_names(storage: Storage) -> None:
    assert storage.names() == []
    assert storage.get("epochs/1") is None
    storage.put("epochs/2", b"two")
    storage.put("epochs/1", b"one")
    storage.put("stream/segments/1", b"")
    assert storage.names() == ["epochs/1", "epochs/2", "stream/segments/1"]
    assert storage.names("epochs") == ["epochs/1", "epochs/2"]
    assert storage.get("epochs/1") == b"one"
    storage.delete(["epochs/1", "epochs/7"])
    assert storage.names("epochs") == ["epochs/2"]


def test_one_of_several_creates_an_object(storage: Storage) -> None:
    created: list[bool] = []
    together = threading.Barrier(4)

    def create(number: int) -> None:
        together.wait()
        created.append(storage.create("epochs/1", b"%d" % number))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert created.count(True) == 1
    assert not storage.create("epochs/1", b"later")
    assert storage.get("epochs/1") != b"later"
    assert storage.names() == ["epochs/1"]


def test_the_name_of_a_created_object_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, link, fsync = list[str](), os.link, os.fsync

    def noted_link(source: Path, target: Path) -> None:
        calls.append("link")
        link(source, target)

    def noted_fsync(file: int) -> None:
        calls.append("fsync")
        fsync(file)

    monkeypatch.setattr(os, "link", noted_link)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    assert FolderStorage(tmp_path).create("epochs/1", b"x")
    assert calls[-2:] == ["link", "fsync"]


@pytest.mark.parametrize(
    "address", ["s3://key:secret@bucket/run", "s3://bucket/run?token=secret", "https://me@host/run", "gs://b/r#secret"]
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError, match="give credentials by the environment") as raised:
        open_storage(address)
    assert "secret" not in str(raised.value)
    assert "me@" not in str(raised.value)


def test_what_kills_left_goes_with_the_last_object_of_a_folder(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    for name in ("old/1", "old/2", "new/1"):
        storage.put(name, b"")
    for left in (tmp_path / "old" / ".2.77.partial", tmp_path / "new" / ".2.78.partial"):
        left.write_bytes(b"half")
    storage.delete(["old/1"])
    assert (tmp_path / "old" / ".2.77.partial").exists()
    storage.delete(["old/2"])
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "new" / ".2.78.partial").exists()


@pytest.mark.parametrize("address", ["", "~/copy", "~me/copy", "s3:/bucket/run", "file:/folder", "file://folder/copy"])
def test_what_would_be_a_folder_elsewhere_than_it_says_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        open_storage(address)


@pytest.mark.parametrize("address", ["./s3:/x", "run 12:30/copy", "./~/copy", "a/~b", "local:///folder"])
def test_other_folders_are_folders(address: str) -> None:
    assert isinstance(open_storage(address), FolderStorage)


@pytest.mark.parametrize(
    "address", ["simplecache::s3://key:secret@b/r", "abfs://c:secret@account/r", "abfs://c@a/r?secret"]
)
def test_neither_a_chain_nor_a_container_hides_a_secret(address: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_storage(address)
    assert "secret" not in str(raised.value)


def test_a_container_before_its_account_is_no_user() -> None:
    with pytest.raises(CopyError, match="needs the package of its protocol"):
        open_storage("abfs://container@account.dfs.core.windows.net/run")


@pytest.mark.parametrize("address", ["s4://bucket/run", "s3://bucket/run"])
def test_a_protocol_without_its_package_is_one_sentence(address: str) -> None:
    with pytest.raises(CopyError, match=address):
        open_storage(address)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CopyError, match=r"file cannot be written: Not a directory"):
        FolderStorage(tmp_path / "file").put("epochs/1", b"")


@pytest.mark.process
def test_a_folder_needs_no_package() -> None:
    program = (
        "import sys; from clairgen.copies import storage; storage.open_storage('/tmp'); print('fsspec' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
