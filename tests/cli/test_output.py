"""Trouble with standard output and error changes neither what a run keeps nor its exit code."""

import asyncio
import contextlib
import fcntl
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from tests.cli.commands import COLUMNS, clairgen, process
from tests.cli.test_commands import prepared
from tests.runs import STRONGER, played
from tests.scripted import Reply, ScriptedEndpoint, said

LIVE = {"FORCE_COLOR": "1"}
"""Draws the live table without a terminal, four times a second."""


def slowly(request: dict[str, Any]) -> Reply:
    return replace(played(request), delay_seconds=0.4)


async def run_with(out: int, err: int, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> int:
    """The exit code of a command with these file descriptors as standard output and error, within a minute."""
    command = [sys.executable, "-m", "clairgen", *map(str, arguments)]
    variables = {**os.environ, **COLUMNS, **(environment or {})}
    running = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=err, env=variables)
    try:
        return await asyncio.wait_for(running.wait(), 60)
    finally:
        if running.returncode is None:
            running.kill()


@contextlib.contextmanager
def pipe_without_a_reader() -> Iterator[int]:
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@contextlib.contextmanager
def pipe_that_is_full() -> Iterator[int]:
    """Nobody reads it, as with a pager that waits for a key."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"." * fcntl.fcntl(write, 1032))  # F_GETPIPE_SZ
    os.set_blocking(write, True)
    yield write
    os.close(read)
    os.close(write)


@contextlib.contextmanager
def full_device() -> Iterator[int]:
    device = os.open("/dev/full", os.O_WRONLY)
    yield device
    os.close(device)


async def made(run: Path) -> dict[str, dict[str, int]]:
    return (await api.status(run)).statuses


@pytest.mark.process
async def test_a_reader_that_went_away_stops_nothing(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=6)
        with pipe_without_a_reader() as pipe:
            assert await run_with(pipe, pipe, "generate", config, "--run", run, environment=LIVE) == 0
    assert await made(run) == {"clair": {"made": 6}, "stronger-preferred": {"made": 6}}


@pytest.mark.process
async def test_progress_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=6)
        with pipe_that_is_full() as pipe:
            code = await run_with(DEVNULL, pipe, "generate", config, "--run", run, environment=LIVE)
    assert code == 0
    assert await made(run) == {"clair": {"made": 6}, "stronger-preferred": {"made": 6}}


@pytest.mark.process
async def test_a_full_disk_under_the_output_leaves_the_exit_code_to_the_run(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=2)
        with full_device() as device:
            assert await run_with(device, device, "generate", config, "--run", run, environment=LIVE) == 0
            assert (await process("generate", config, "--run", run, shell_prefix="exec >/dev/full")).code == 0
    assert await made(run) == {"clair": {"made": 2}, "stronger-preferred": {"made": 2}}


@pytest.mark.process
async def test_a_report_that_cannot_be_written_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=1)
        await clairgen("generate", config, "--run", run)
    for command in ("status", "show", "report"):
        done = await process(command, run, shell_prefix="exec >/dev/full")
        assert (done.code, done.err) == (
            2,
            "Error: standard output could not be written: No space left on device; not all of it is there\n",
        ), command


@pytest.mark.process
async def test_a_terminal_without_unicode_shows_escapes(tmp_path: Path) -> None:
    def greek(request: dict[str, Any]) -> Reply:
        return said("\u03ba\u03b1\u03bb\u03cc") if request["model"] == STRONGER else played(request)

    async with ScriptedEndpoint(greek) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=1)
        assert (await process("generate", config, "--run", run, environment={"PYTHONIOENCODING": "ascii"})).code == 0
    for command in ("status", "show", "report"):
        done = await process(command, run, environment={"PYTHONIOENCODING": "ascii"})
        assert (done.code, done.err) == (0, ""), command


@pytest.mark.process
async def test_closed_streams_are_never_taken_for_a_file_of_the_run(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=3)
        done = await process("generate", config, "--run", run, shell_prefix="exec <&- >&- 2>&-", environment=LIVE)
    assert done.code == 0
    assert await made(run) == {"clair": {"made": 3}, "stronger-preferred": {"made": 3}}
    assert (run / "lock").read_bytes().strip().isdigit()
    assert b"pairs made" not in b"".join(file.read_bytes() for file in run.iterdir())


@pytest.mark.process
async def test_watching_ends_when_nobody_reads_it(tmp_path: Path) -> None:
    begun = asyncio.Event()

    def never(request: dict[str, Any]) -> Reply:
        begun.set()
        return replace(played(request), delay_seconds=600)

    async with ScriptedEndpoint(never) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=1)
        generating = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clairgen", "generate", config, "--run", run, "--drain-seconds", "0"),
            stderr=DEVNULL,
        )
        try:
            await asyncio.wait_for(begun.wait(), 60)
            with pipe_without_a_reader() as pipe:
                assert await run_with(pipe, DEVNULL, "status", run, "--watch", environment=LIVE) == 0
            assert generating.returncode is None
        finally:
            generating.kill()
            await generating.wait()
