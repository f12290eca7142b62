"""How a run grows: peak memory and rate at several numbers of tasks, and the time from a restart to its first request.

python -m tests.bench.scale --tasks 10000 --tasks 100000
python -m tests.bench.scale --tasks 1000000 --half-done
python -m tests.bench.scale --tasks 20000 --tasks 100000 --commands
python -m tests.bench.scale --tasks 20000 --replicate 50 --no-all-filters
"""

import contextlib
import hashlib
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
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
import yaml

BARE_SCAN = """
import sqlite3, sys
from clairgen.store.pair_rows import SELECT_PAIRS
path, recipe = sys.argv[1:]
made = f"{SELECT_PAIRS} WHERE p.recipe = ? AND p.status = 'made' ORDER BY p.position"
rows = sqlite3.connect(path).execute(made, (recipe,))
print(sum(1 for row in rows))
"""
ALL_FILTERS = "filter, all filters again"
RECIPE = "stronger-preferred"
COPIED_COLUMNS = {
    "tasks": {"position": "position + copy * ?", "id": "id || '-' || copy", "messages": "copied(messages, copy)"},
    "messages": {"hash": "copied(hash, copy)"},
    "completions": {"key": "copied(key, copy)", "messages": "copied(messages, copy)"},
    "pairs": {
        "number": "number + copy * (SELECT max(number) FROM original.pairs)",
        "position": "position + copy * ?",
        "id": "copied(id, copy)",
        "task_id": "task_id || '-' || copy",
        "prompt": "copied(prompt, copy)",
    },
    "pair_texts": {"pair": "pair + copy * (SELECT max(number) FROM original.pairs)"},
    "pair_requests": {"pair_id": "copied(pair_id, copy)", "key": "copied(key, copy)"},
    "filter_results": {"pair_id": "copied(pair_id, copy)"},
}
"""By table, the columns that tell one row from another, and what they hold in a copy. `?` is the number of tasks."""

FILLER = "some words that make the prompt as long as prompts are " * 10


def main(
    tasks: Annotated[list[int], typer.Option(help="Numbers of tasks.")],
    half_done: Annotated[bool, typer.Option("--half-done", help="Restart with half of the pairs made.")] = False,
    commands: Annotated[bool, typer.Option("--commands", help="Time status, filter and export afterwards.")] = False,
    replicate: Annotated[
        int,
        typer.Option(help="Time the commands on a run that holds every pair so many times, under ids of their own."),
    ] = 1,
    all_filters: Annotated[bool, typer.Option(help="Also time all filters, which is slow.")] = True,
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
            if replicate > 1:
                with ProcessPoolExecutor(
                    1, get_context("spawn")
                ) as other:  # its memory would count in its children's peak
                    other.submit(copy_rows, folder / "run" / "run.db", count, replicate).result()
            if commands or replicate > 1:
                time_commands(folder, count * replicate, all_filters)


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


def copy_rows(path: Path, count: int, times: int) -> None:
    """Make the `count` tasks of a finished run `times` as many, with all that belongs to them. Texts stay the same."""
    original = path.with_name("original.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("VACUUM INTO ?", (str(original),))
        database.execute("ATTACH ? AS original", (str(original),))
        database.create_function("copied", 2, copied, deterministic=True)
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -1000000")
        database.execute("CREATE TEMP TABLE copies (copy INTEGER PRIMARY KEY)")
        database.executemany("INSERT INTO copies VALUES (?)", [(copy,) for copy in range(1, times)])
        for table, changed in COPIED_COLUMNS.items():
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(changed.get(column, column) for column in columns)
            sql = f"INSERT INTO main.{table} SELECT {values} FROM copies CROSS JOIN original.{table}"  # noqa: S608 - the names above
            database.execute(sql, [count] * values.count("?"))
        database.execute("UPDATE meta SET value = ? WHERE key = ?", (str(count * times), f"last_position:{RECIPE}"))
    original.unlink()


def copied(content_hash: str, copy: int) -> str:
    """A hash in place of another one, as long as it."""
    return hashlib.sha256(f"{content_hash} {copy}".encode()).hexdigest()[: len(content_hash)]


def time_commands(folder: Path, count: int, all_filters: bool) -> None:
    """Processor seconds of what reads a whole run.

    Right before each, since they depend on the machine's load, those of a process that reads the same rows and does nothing
    with them.
    """
    run, database = str(folder / "run"), folder / "run" / "run.db"
    typer.echo(f"{count:,} pairs: database {database.stat().st_size / 1e6:,.0f} MB")
    for what, name, *rest in (
        ("status", "status", run),
        ("filter, one threshold changed", "filter", run, "--length-ratio", "0.3:3"),
        ("filter, nothing changed", "filter", run),
        ("report", "report", run),
        ("export", "export", run, str(folder / "out")),
        (ALL_FILTERS, "filter", run),
    ):
        if what == ALL_FILTERS and not all_filters:
            continue
        if what == ALL_FILTERS:
            forget_findings(database)
        scan, _ = processor_seconds(sys.executable, "-c", BARE_SCAN, str(database), RECIPE)
        taken, peak = processor_seconds(sys.executable, "-m", "clairgen", name, *rest)
        typer.echo(
            f"{count:,} pairs: {what} {taken:.1f} s, {taken / scan:.1f} x a bare scan of {scan:.1f} s, "
            f"{1e6 * taken / count:,.0f} µs a pair, peak {peak:.0f} MB"
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
        "recipes": [RECIPE],
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
