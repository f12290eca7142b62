"""The lock on an output folder, between two real processes."""

import asyncio
import sys
from pathlib import Path

import pytest

from clairgen.errors import InputError, RunError
from clairgen_train.run_folder import RunFolder
from tests.cli.commands import clairgen
from tests.training.small_run import pair, saved_model, written

HOLDER = """
import sys, time
from pathlib import Path
from clairgen_train.run_folder import RunFolder

with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(600)
"""


async def test_two_processes_never_train_in_one_folder_and_a_kill_releases_it(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(8)])
    command = ("train", data, tmp_path / "out", "--model", saved_model(tmp_path / "model"), "--epochs", "1")
    small = ("--set", "batch_size=4", "--set", "held_out_pairs=0", "--set", f"reference_cache={tmp_path / 'cache'}")
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, tmp_path / "out", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"locked\n"
        refused = await clairgen(*command, *small)
        assert refused.code == 2
        assert f"is in use by process {holder.pid}; wait until it ends, or stop it with Ctrl-C there" in refused.err
        (tmp_path / "out" / "lock").unlink()  # the lock is on the folder as well
        with pytest.raises(RunError, match="is in use by process"), RunFolder(tmp_path / "out").locked():
            pass
    finally:
        holder.kill()
        await holder.wait()
    done = await clairgen(*command, *small)
    assert (done.code, done.err.count("Traceback")) == (0, 0), done.err


def test_a_folder_with_other_content_gets_no_lock_file(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(InputError, match="is not a training run"), RunFolder(tmp_path).locked():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
