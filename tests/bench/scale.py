"""How a run grows: peak memory and rate at several numbers of tasks, and the time from a restart to its first request.

python -m tests.bench.scale --tasks 10000 --tasks 100000
python -m tests.bench.scale --tasks 1000000 --half-done
python -m tests.bench.scale --tasks 20000 --tasks 100000 --commands
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
import yaml

BARE_SCAN = """
import sqlite3, sys
from clairgen.store.pair_rows import SELECT_PAIRS
rows = sqlite3.connect(sys.argv[1]).execute(f"{SELECT_PAIRS} WHERE p.status = 'made' ORDER BY p.position")
print(sum(1 for row in rows))
"""
ALL_FILTERS = "filter, all filters again"
FILLER = "some words that make the prompt as long as prompts are " * 10


def main(
    tasks: Annotated[list[int], typer.Option(help="Numbers of tasks.")],
    half_done: Annotated[bool, typer.Option("--half-done", help="Restart with half of the pairs made.")] = False,
    commands: Annotated[bool, typer.Option("--commands", help="Time status, filter and export afterwards.")] = False,
    concurrency: Annotated[int, typer.Option(help="Requests in flight a role.")] = 64,
    seconds: Annotated[float | None, typer.Option(help="Press Ctrl-C after this many seconds.")] = None,
) -> None:
    """Measure a run of `stronger-preferred` (two requests a task) against a server that answers at once."""
    for count in tasks:
        with served() as port, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = write_inputs(folder, count, port, concurrency)
            if half_done:
                restart(folder, config, port, count)
            else:
                whole_run(folder, config, count, seconds)
            if commands:
                time_commands(folder, count)


def whole_run(folder: Path, config: Path, count: int, until: float | None) -> None:
    """Run to the end, or for `until` seconds; print rate and peak memory."""
    start = time.monotonic()
    process = subprocess.Popen(command(config, folder / "run"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if until is not None:
        time.sleep(until)
        process.send_signal(signal.SIGINT)
    _, code, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    peak = megabytes(usage.ru_maxrss)
    with sqlite3.connect(folder / "run" / "run.db") as database:
        (answered,) = database.execute("SELECT count(*) FROM completions").fetchone()
    database.close()
    typer.echo(
        f"{count:,} tasks: exit code {os.waitstatus_to_exitcode(code)}, {seconds:.1f} s, {answered / seconds:,.0f} requests/s, "
        f"peak {peak:.0f} MB, database {(folder / 'run' / 'run.db').stat().st_size / 1e6:.0f} MB"
    )


def time_commands(folder: Path, count: int) -> None:
    """Processor seconds of what reads a whole run, beside a process that reads the same rows and does nothing with them."""
    run = str(folder / "run")
    scan, _ = processor_seconds(sys.executable, "-c", BARE_SCAN, str(folder / "run" / "run.db"))
    typer.echo(f"{count:,} pairs: bare scan {scan:.1f} s")
    for what, name, *rest in (
        ("status", "status", run),
        ("filter, one threshold changed", "filter", run, "--length-ratio", "0.3:3"),
        ("filter, nothing changed", "filter", run),
        (ALL_FILTERS, "filter", run),
        ("report", "report", run),
        ("export", "export", run, str(folder / "out")),
    ):
        if what == ALL_FILTERS:
            forget_findings(folder / "run" / "run.db")
        taken, peak = processor_seconds(sys.executable, "-m", "clairgen", name, *rest)
        typer.echo(
            f"{count:,} pairs: {what} {taken:.1f} s, {taken / scan:.1f} x the scan, {1e6 * taken / count:,.0f} µs a pair, "
            f"peak {peak:.0f} MB"
        )


def forget_findings(path: Path) -> None:
    """Let the filters look at every pair again, as after a new version of them."""
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM meta WHERE key = 'filters_version'")
    database.close()


def processor_seconds(*command: str) -> tuple[float, float]:
    """What a process took of the processor, user and system, and its peak memory in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    assert code == 0, command
    return usage.ru_utime + usage.ru_stime, megabytes(usage.ru_maxrss)


def megabytes(peak: int) -> float:
    """The peak memory that the system reports, in MB."""
    return peak / (1024 if sys.platform == "linux" else 1024 * 1024)


def restart(folder: Path, config: Path, port: int, count: int) -> None:
    """Read the tasks in, mark half of the pairs as made, and time a restart until its first request."""
    run = folder / "run"
    subprocess.run([*command(config, run), "--limit", "1"], check=True, capture_output=True)
    with sqlite3.connect(run / "run.db") as database:
        database.execute("UPDATE pairs SET status = 'made', filter_set = 1 WHERE position <= ?", (count // 2,))
    database.close()
    ask_count(port)
    start = time.time()
    process = subprocess.Popen(command(config, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = 0.0
    while not first and process.poll() is None:
        time.sleep(0.05)
        first = ask_count(port)["first"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    typer.echo(f"{count:,} tasks, half done: first request {first - start:.2f} s after the start")


def command(config: Path, run: Path) -> list[str]:
    """The command that is measured."""
    return [sys.executable, "-m", "clairgen", "generate", str(config), "--run", str(run)]


def write_inputs(folder: Path, count: int, port: int, concurrency: int) -> Path:
    """Tasks and a configuration."""
    with (folder / "tasks.jsonl").open("w") as lines:
        for number in range(count):
            lines.write(f'{{"id": "{number}", "prompt": "Question {number}: {FILLER}"}}\n')
    role = {
        "endpoints": [f"http://127.0.0.1:{port}/v1"],
        "temperature": 0.7,
        "max_tokens": 100,
        "concurrency": concurrency,
    }
    content = {
        "recipes": ["stronger-preferred"],
        "tasks": {"path": str(folder / "tasks.jsonl")},
        "models": {"target": {"model": "target", **role}, "stronger": {"model": "stronger", **role}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def ask_count(port: int) -> dict[str, float]:
    """What the server counted since the last call."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count") as answer:
        counted: dict[str, float] = json.load(answer)
    return counted


@contextlib.contextmanager
def served() -> Iterator[int]:
    """The fast server in its own process; its port."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.fast_server"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    typer.run(main)
