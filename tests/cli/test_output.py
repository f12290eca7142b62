"""Trouble with standard output and error changes neither what a run keeps nor its exit code."""

import asyncio
import contextlib
import fcntl
import os
import re
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from clairgen import api
from tests.cli.commands import clairgen, interpreter, process
from tests.cli.forked import forked
from tests.cli.test_commands import prepared
from tests.runs import STRONGER, played
from tests.scripted import Reply, ScriptedEndpoint, said

Result = TypeVar("Result")

LIVE = {"FORCE_COLOR": "1"}
"""Draws the live table without a terminal, four times a second."""
ASCII = {"PYTHONIOENCODING": "ascii"}


def slowly(request: dict[str, Any]) -> Reply:
    return replace(played(request), delay_seconds=0.4)


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


async def within_a_minute(work: Coroutine[Any, Any, Result]) -> Result:
    return await asyncio.wait_for(work, 60)


async def made(run: Path) -> dict[str, dict[str, int]]:
    return (await api.status(run)).statuses


@pytest.mark.process
async def test_a_reader_that_went_away_stops_nothing(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=6)
        with pipe_without_a_reader() as pipe:
            done = await within_a_minute(
                process("generate", config, "--run", run, out=pipe, err=pipe, environment=LIVE)
            )
    assert done.code == 0
    assert await made(run) == {"clair": {"made": 6}, "stronger-preferred": {"made": 6}}


@pytest.mark.process
async def test_progress_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=6)
        with pipe_that_is_full() as pipe:
            done = await within_a_minute(process("generate", config, "--run", run, err=pipe, environment=LIVE))
    assert done.code == 0
    assert await made(run) == {"clair": {"made": 6}, "stronger-preferred": {"made": 6}}


@pytest.mark.process
async def test_a_full_disk_under_the_output_leaves_the_exit_code_to_the_run(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=2)
        with full_device() as device:
            first = await process("generate", config, "--run", run, out=device, err=device, environment=LIVE)
            second = await interpreter("generate", config, "--run", run, shell_prefix="exec >/dev/full")
    assert (first.code, second.code) == (0, 0)
    assert await made(run) == {"clair": {"made": 2}, "stronger-preferred": {"made": 2}}


@pytest.mark.process
async def test_a_report_that_cannot_be_written_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=1)
        await clairgen("generate", config, "--run", run)
    with full_device() as device:
        ended = [await process(command, run, out=device) for command in ("status", "show", "report")]
    sentence = "Error: standard output could not be written: No space left on device; not all of it is there\n"
    assert [(done.code, done.err) for done in ended] == [(2, sentence)] * 3


@pytest.mark.process
async def test_a_terminal_without_unicode_shows_escapes(tmp_path: Path) -> None:
    def greek(request: dict[str, Any]) -> Reply:
        return said("\u03ba\u03b1\u03bb\u03cc") if request["model"] == STRONGER else played(request)

    async with ScriptedEndpoint(greek) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=1)
        assert (await interpreter("generate", config, "--run", run, environment=ASCII)).code == 0
    for command in ("status", "show", "report"):
        done = await process(command, run, environment=ASCII)
        assert (done.code, done.err) == (0, ""), command


@pytest.mark.process
async def test_closed_streams_are_never_taken_for_a_file_of_the_run(tmp_path: Path) -> None:
    async with ScriptedEndpoint(slowly) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=3)
        done = await interpreter("generate", config, "--run", run, shell_prefix="exec <&- >&- 2>&-", environment=LIVE)
    assert done.code == 0
    assert await made(run) == {"clair": {"made": 3}, "stronger-preferred": {"made": 3}}
    assert re.fullmatch(rb"\d+ \S+\n", (run / "lock").read_bytes())  # process and host
    assert b"pairs made" not in b"".join(file.read_bytes() for file in run.iterdir())


@pytest.mark.process
async def test_watching_ends_when_nobody_reads_it(tmp_path: Path) -> None:
    begun = asyncio.Event()

    def never(request: dict[str, Any]) -> Reply:
        begun.set()
        return replace(played(request), delay_seconds=600)

    async with ScriptedEndpoint(never) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=1)
        async with forked("generate", config, "--run", run, "--drain-seconds", "0") as generating:
            await within_a_minute(begun.wait())
            with pipe_without_a_reader() as pipe:
                watched = await within_a_minute(process("status", run, "--watch", out=pipe, environment=LIVE))
            assert (watched.code, generating.returncode) == (0, None)
