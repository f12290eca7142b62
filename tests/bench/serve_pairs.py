"""The pairs of a large run in the service: the time of each kind of page, of its index, and what the index takes.

python -m tests.bench.serve_pairs --pairs 1000000
python -m tests.bench.serve_pairs --pairs 1000000 --folder /tmp/served   # is kept, and used again
"""

import asyncio
import contextlib
import math
import os
import random
import resource
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.registry import FILTERS_VERSION
from clairgen.keys import digest, messages_json, pair_id
from clairgen.metrics.contrast import DEFAULT_TOKENIZER, METRICS_VERSION
from clairgen.records import Message
from clairgen.service.app import service, today
from clairgen.service.request_checks import allowed_hosts
from clairgen.service.request_rates import Limits
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import read_tokens
from clairgen.store import Plan, RunDirectory, index_file, syncing, writing

RECIPES: Final = ("clair", "judge-off-policy")
_WORDS: Final = 60_000
_SENTENCES: Final = 40_000
_GROUP: Final = 5_000
_SYLLABLES: Final = (
    "ba",
    "che",
    "di",
    "for",
    "gu",
    "lan",
    "mi",
    "nor",
    "pe",
    "ri",
    "so",
    "tra",
    "un",
    "ve",
    "wo",
    "zet",
)
RARE_EVERY: Final = 1_000
REASONS: Final = (("too-similar", 0.06), ("length-ratio", 0.03), ("refusal", 0.004), ("identical", 0.0001))
MARKS: Final = (("mentions-revision", 0.05), ("truncated", 0.002))


RUN: Final = "large"
COMMON, MIDDLE, RARE, PREFIX = "ba", "chemi", "rare7", "gumi*"
CASES: Final[dict[str, dict[str, str]]] = {
    "first page": {},
    "deep page": {"after": "DEEP"},
    "last page": {"before": "LAST"},
    "only kept": {"kept": "true"},
    "common reason": {"dropped": "too-similar"},
    "rare reason": {"dropped": "identical"},
    "mark": {"mark": "mentions-revision"},
    "rare mark and reason": {"mark": "truncated", "dropped": "length-ratio"},
    "metric range": {"min_jaccard": "0.2", "below_jaccard": "0.25"},
    "sorted by a metric": {"sort": "jaccard", "order": "desc"},
    "sorted, deep": {"sort": "jaccard", "after": "DEEP"},
    "range, kept and sorted": {"kept": "true", "min_levenshtein": "100", "below_levenshtein": "200", "sort": "jaccard"},
    "common word": {"q": COMMON},
    "common word, deep": {"q": COMMON, "after": "DEEP"},
    "less common word": {"q": MIDDLE},
    "rare word": {"q": RARE},
    "phrase of common words": {"q": '"ba di"'},
    "common word and common filter": {"q": COMMON, "kept": "true"},
    "common word and rare filter": {"q": COMMON, "dropped": "identical"},
    "less common word and rare mark": {"q": MIDDLE, "mark": "truncated"},
    "common word, sorted": {"q": COMMON, "sort": "levenshtein"},
    "less common word, sorted": {"q": MIDDLE, "sort": "levenshtein"},
    "beginning of a word": {"q": PREFIX},
}


def main(
    pairs: Annotated[int, typer.Option(help="How many pairs.")] = 1_000_000,
    folder: Annotated[
        Path | None, typer.Option(help="Where the run is kept and used again; a temporary one without.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often each page is requested.")] = 15,
    report: Annotated[bool, typer.Option(help="Also time the report, which reads the whole run.")] = True,
) -> None:
    """Make a run with so many pairs and its index, and print a table of the times of pages."""
    with contextlib.ExitStack() as stack:
        root = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = RunDirectory(root / RUN)
        if not run.database.exists():
            asyncio.run(make_run(run, pairs))
        asyncio.run(_measure(root, run, rounds, report))
        _browse(root, rounds)


async def _measure(root: Path, run: RunDirectory, rounds: int, report: bool) -> None:
    file = index_file(root, RUN)
    if not file.exists():
        await _make_index(file, run)
    sizes = [path.stat().st_size / 1e6 for path in (run.database, file)]
    typer.echo(f"run {sizes[0]:,.0f} MB, index {sizes[1]:,.0f} MB")
    limits = Limits(requests_per_minute=10**6)
    app = service(RunsRoot(root), read_tokens({}, None, today), allowed_hosts("127.0.0.1", []), limits=limits)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", timeout=120
    ) as client:
        await _time_pages(client, await _places(run), rounds)
        if report:
            for name in ("first report", "report again", "list of runs"):
                start = time.perf_counter()
                await client.get("/" if name == "list of runs" else f"/runs/{RUN}")
                typer.echo(f"| {name} | {1000 * (time.perf_counter() - start):,.1f} | | |")
    typer.echo(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


async def _make_index(file: Path, run: RunDirectory) -> None:
    start, processor = time.monotonic(), time.process_time()
    searchable = 0.0
    async with syncing(file, run.database) as sync:
        while await sync.step():
            if not searchable and (await sync.state()).is_complete:
                searchable = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    typer.echo(
        f"index: searchable after {searchable:,.0f} s, merged after {time.monotonic() - start:,.0f} s, "
        f"{time.process_time() - processor:,.0f} s of processor time, peak {peak:,.0f} MB"
    )


async def _places(run: RunDirectory) -> dict[str, str]:
    """The ids of a pair far from the first one, and of the last one."""
    with contextlib.closing(sqlite3.connect(run.database)) as database:
        [last] = database.execute("SELECT max(position) FROM pairs").fetchone()
        sql = "SELECT id FROM pairs WHERE recipe = ? AND status = 'made' AND position = ?"
        deep, final = (
            database.execute(sql, (RECIPES[1], position)).fetchone()[0] for position in (last * 9 // 10, last)
        )
    return {"DEEP": deep, "LAST": final}


async def _time_pages(client: httpx.AsyncClient, places: dict[str, str], rounds: int) -> None:
    typer.echo("| page | median ms | 95% ms | pairs found |\n|---|---|---|---|")
    for name, query in CASES.items():
        parameters = {key: places.get(value, value) for key, value in query.items()}
        times, page = await _times(client, f"/runs/{RUN}/pairs", parameters, rounds)
        found = page.partition('id="found"')[2].partition(">")[2].partition("<")[0]
        typer.echo(f"| {name} | {statistics.median(times):.1f} | {_high(times):.1f} | {found} |")
    times, _ = await _times(client, f"/runs/{RUN}/pairs/{places['DEEP']}", {"q": COMMON, "sort": "jaccard"}, rounds)
    typer.echo(
        f"| a pair, with its neighbors in a sorted search | {statistics.median(times):.1f} | {_high(times):.1f} | |"
    )


async def _times(
    client: httpx.AsyncClient, path: str, parameters: dict[str, str], rounds: int
) -> tuple[list[float], str]:
    times: list[float] = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        answer = await client.get(path, params=parameters)
        times.append(1000 * (time.perf_counter() - start))
        assert answer.status_code == 200, answer.text
    return times[1:], answer.text  # the first one reads from the disk


def _high(times: Sequence[float]) -> float:
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def _browse(root: Path, rounds: int) -> None:
    """The same first page and search over a socket, from a service in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "clairgen", "serve", str(root), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            for _ in range(150):
                with contextlib.suppress(httpx.HTTPError):
                    client.get("/sign-in")
                    break
                time.sleep(0.2)
            for name, parameters in (("first page", {}), ("common word", {"q": COMMON})):
                times: list[float] = []
                for _ in range(rounds + 1):
                    start = time.perf_counter()
                    client.get(f"/runs/{RUN}/pairs", params=parameters).raise_for_status()
                    times.append(1000 * (time.perf_counter() - start))
                typer.echo(f"| {name}, over a socket | {statistics.median(times[1:]):.1f} | {_high(times[1:]):.1f} | |")
    finally:
        process.terminate()
        _, _, usage = os.wait4(process.pid, 0)
        typer.echo(f"service: peak memory {usage.ru_maxrss / 1024:,.0f} MB")


class Texts:
    """Random texts of 300 to 1,500 characters, whose words are as unequally frequent as those of a language (Zipf)."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        words = [_word(number) for number in range(_WORDS)]
        weights = list(accumulate(1 / (rank + 2) for rank in range(_WORDS)))
        self.sentences = [
            " ".join(self.random.choices(words, cum_weights=weights, k=self.random.randint(8, 20))) + "."
            for _ in range(_SENTENCES)
        ]

    def prompt(self) -> str:
        """One to three sentences."""
        return " ".join(self.random.choices(self.sentences, k=self.random.randint(1, 3)))

    def answers(self) -> tuple[str, str]:
        """Two answers that share about half of their sentences."""
        rejected = self.random.choices(self.sentences, k=self.random.randint(3, 13))
        others = self.random.choices(self.sentences, k=len(rejected))
        chosen = [new if self.random.random() < 0.5 else old for old, new in zip(rejected, others, strict=True)]
        return " ".join(chosen), " ".join(rejected)


def _word(number: int) -> str:
    """A word of its own for each number, the first ones short."""
    word = _SYLLABLES[number % 16]
    while number := number // 16:
        word += _SYLLABLES[number % 16]
    return word


async def make_run(run: RunDirectory, pairs: int) -> None:
    """A run with so many pairs of two recipes, without a request: every column that pages and reports read is filled in."""
    run.create()
    async with writing(run) as store:
        await store.metadata.initialize("bench")
        for recipe in RECIPES:
            await store.metadata.record_plan(Plan(recipe, {"bench": True}, revises=True), changed=False)

        async def nothing() -> Any:  # noqa: ANN401 - an empty stream
            return
            yield

        await store.filter_sets.replace(FilterSettings().model_dump_json(), FILTERS_VERSION, RECIPES, nothing())
    with contextlib.closing(sqlite3.connect(run.database, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        texts = Texts()
        for start in range(0, pairs // len(RECIPES), _GROUP):
            _add(database, texts, range(start, min(start + _GROUP, pairs // len(RECIPES))))


def _add(database: sqlite3.Connection, texts: Texts, positions: range) -> None:
    tasks: list[Sequence[Any]] = []
    messages: list[Sequence[Any]] = []
    pairs: list[dict[str, Any]] = []
    findings: list[Sequence[Any]] = []
    for position in range(positions.start + 1, positions.stop + 1):
        task = f"task-{position:07d}"
        body = messages_json((Message("user", f"{position}. {texts.prompt()}"),))
        key = digest(body)
        messages.append((key, zlib.compress(body.encode("ascii"), 1)))
        tasks.append((position, task, key))
        for recipe in RECIPES:
            identity = pair_id(task, recipe)
            row, found = _pair(texts, identity, position)
            pairs.append(
                {"id": identity, "position": position, "task_id": task, "recipe": recipe, "prompt": key, **row}
            )
            findings += found
    database.execute("BEGIN")
    database.executemany("INSERT INTO tasks (position, id, messages) VALUES (?, ?, ?)", tasks)
    database.executemany("INSERT OR IGNORE INTO messages (hash, body) VALUES (?, ?)", messages)
    texts_sql = "INSERT INTO pair_texts (pair, chosen, rejected) SELECT number, ?, ? FROM pairs WHERE id = ?"
    answers = [(row.pop("chosen"), row.pop("rejected"), row["id"]) for row in pairs]
    names = list(pairs[0])
    sql = f"INSERT INTO pairs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - the names above
    database.executemany(sql, [tuple(row.values()) for row in pairs])
    database.executemany(texts_sql, answers)
    found_sql = (
        "INSERT INTO filter_results (filter_set, filter, pair_id, position, action, reason) "
        "VALUES (1, 'bench', ?, ?, ?, ?)"
    )
    database.executemany(found_sql, findings)
    database.execute("COMMIT")


def _pair(texts: Texts, identity: str, position: int) -> tuple[dict[str, Any], list[Sequence[Any]]]:
    """The columns of a pair that its recipe fills in, and the rows of what filters found."""
    draw = texts.random.random
    chosen, rejected = texts.answers()
    if position % RARE_EVERY == 0:
        chosen += f" rare{position // RARE_EVERY}"
    dropped = next((reason for reason, share in REASONS if draw() < share), None)
    marks = [reason for reason, share in MARKS if draw() < share]
    found: list[Sequence[Any]] = [(identity, at, "mark", reason) for at, reason in enumerate(marks, start=1)]
    found += [] if dropped is None else [(identity, 0, "drop", dropped)]
    row = {
        "status": "made",
        "chosen": chosen,
        "rejected": rejected,
        "chosen_finish_reason": "stop",
        "rejected_finish_reason": "stop",
        "chosen_model": "teacher",
        "rejected_model": "student",
        "parse_status": "ok",
        "parser_version": 1,
        "levenshtein": int(math.exp(texts.random.gauss(6.5, 0.8))),
        "jaccard": texts.random.betavariate(4, 5),
        "length_ratio": len(chosen) / len(rejected),
        "tokenizer": DEFAULT_TOKENIZER,
        "metrics_version": METRICS_VERSION,
        "filter_set": 1,
        "drop_reason": dropped,
        "made_at": f"2026-11-27T{position // 3600 % 24:02d}:{position // 60 % 60:02d}:{position % 60:02d}.000+00:00",
    }
    return row, found


if __name__ == "__main__":
    typer.run(main)
