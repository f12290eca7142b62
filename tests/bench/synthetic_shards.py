"""Finished shards of a run that nobody made: any number of pairs with short texts and varied figures, written by SQL alone.

Nearly half of the pairs are dropped, one in ten is marked, one in fifty holds no revision. All have the same prompt, and tasks
are left out. With requests each pair has a task with a prompt of its own, and an answer, with a cost.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.registry import FILTERS_VERSION
from clairgen.metrics.contrast import DEFAULT_TOKENIZER, METRICS_VERSION
from clairgen.pipeline.ingest import IngestState, state_row
from clairgen.store import FilterResult, Plan, RunDirectory, writing
from clairgen.store.metadata import SHARD, TOKENIZER
from clairgen.store.statements import compressed

RECIPE: Final = "clair"
SETTINGS: Final = FilterSettings({"levenshtein": [None, 1500], "language": "off"})

# ruff: noqa: S608 - the names and numbers of this module
_NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :pairs)"
_FILL: Final = (
    """INSERT INTO messages (hash, body)
        VALUES ('prompt', compressed('[{"content":"How much is one and one?","role":"user"}]'))""",
    f"""CREATE TEMP TABLE numbers AS {_NUMBERS} SELECT i * :shards + :shard AS position FROM n""",
    f"""INSERT INTO pairs (id, position, task_id, recipe, status, prompt, chosen_finish_reason, rejected_finish_reason,
            chosen_model, rejected_model, parse_status, parser_version, metrics_version, filter_set, made_at, tokenizer,
            levenshtein, jaccard, length_ratio)
        SELECT lower(hex(randomblob(16))), position, 'task-' || position, '{RECIPE}', 'made', 'prompt', 'stop', 'stop', 'reviser',
            'target', 'ok', 3, {METRICS_VERSION}, 1, '2026-01-01', '{DEFAULT_TOKENIZER}', abs(random()) % 2000,
            (abs(random()) % 1000) / 1000.0, 0.4 + (abs(random()) % 2000) / 1000.0
        FROM numbers WHERE position % 50 > 0
        UNION ALL
        SELECT lower(hex(randomblob(16))), position, 'task-' || position, '{RECIPE}', 'made', 'prompt', 'stop', 'stop', 'reviser',
            'target', 'no-solution-header', 3, {METRICS_VERSION}, 1, '2026-01-01', NULL, NULL, NULL, NULL
        FROM numbers WHERE position % 50 = 0""",
    """INSERT INTO pair_texts (pair, chosen, rejected, reasoning)
        SELECT number, iif(parse_status = 'ok', 'The sum is ' || (position * 3) || ', which is **the answer** '
                || substr(:filler, 1, abs(random()) % :longest), NULL),
            'I think it is ' || (position * 3) || substr(:filler, 1, abs(random()) % :longest), 'The working is missing.'
        FROM pairs""",
    """INSERT INTO filter_results (filter_set, pair_id, position, filter, action, reason, value)
        SELECT 1, id, 0, 'length_ratio', 'drop', 'length-ratio-above', length_ratio FROM pairs WHERE length_ratio > 2.0
        UNION ALL
        SELECT 1, id, 0, 'length_ratio', 'drop', 'length-ratio-below', length_ratio FROM pairs WHERE length_ratio < 0.5
        UNION ALL
        SELECT 1, id, 1, 'levenshtein', 'drop', 'levenshtein-above', CAST(levenshtein AS REAL) FROM pairs
            WHERE levenshtein > 1500
        UNION ALL
        SELECT 1, id, 2, 'revision_mention', 'mark', 'mentions-revision', 'corrected' FROM pairs
            WHERE position % 10 = 0 AND parse_status = 'ok'
        UNION ALL
        SELECT 1, id, 0, 'format', 'drop', parse_status, NULL FROM pairs WHERE parse_status <> 'ok'""",
    """UPDATE pairs SET drop_reason = (SELECT reason FROM filter_results f WHERE f.filter_set = 1 AND f.pair_id = pairs.id
            AND f.action = 'drop' ORDER BY f.position LIMIT 1)
            WHERE id IN (SELECT pair_id FROM filter_results WHERE action = 'drop')""",
)
_REQUESTS: Final = (
    "UPDATE pairs SET prompt = lower(hex(randomblob(32)))",
    """INSERT INTO messages (hash, body) SELECT prompt, compressed('[{"content":"How much is ' || position || ' and one?",'
        || '"role":"user"}]') FROM pairs ORDER BY number""",
    "INSERT INTO tasks (position, id, messages) SELECT position, task_id, prompt FROM pairs ORDER BY position",
    """INSERT INTO pair_requests (pair_id, purpose, key)
        SELECT id, 'chosen', lower(hex(randomblob(32))) FROM pairs ORDER BY id""",
    """INSERT INTO completions (key, role, model, sample, parameters, messages, text, finish_reason, prompt_tokens,
            completion_tokens, latency_seconds, endpoint, cost_usd, created_at)
        SELECT r.key, 'reviser', 'reviser', 0, '{}', p.prompt, 'The sum is one.', 'stop', 20, 30, 0.5,
            'http://127.0.0.1', 0.001, ''
        FROM pairs p JOIN pair_requests r ON r.pair_id = p.id ORDER BY p.number""",
)


def make_shards(
    folder: Path, pairs: int, shards: int, *, longest: int = 30, requests: bool = False, cores: int = 2
) -> None:
    """Write `shards` run directories with `pairs` pairs in all into `folder`; texts have up to `longest` characters more."""
    with ProcessPoolExecutor(cores, get_context("spawn")) as others:
        for _ in others.map(
            _make_shard,
            [folder / str(number) for number in range(1, shards + 1)],
            [pairs // shards] * shards,
            range(1, shards + 1),
            [shards] * shards,
            [longest] * shards,
            [requests] * shards,
        ):
            pass


def _make_shard(path: Path, pairs: int, number: int, shards: int, longest: int, requests: bool) -> None:
    run = RunDirectory(path)
    run.create()
    asyncio.run(_describe(run, number, shards, pairs * shards))
    with contextlib.closing(sqlite3.connect(run.database, isolation_level=None)) as database:
        database.create_function("compressed", 1, compressed, deterministic=True)
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -500000")
        given = {
            "pairs": pairs,
            "shard": number,
            "shards": shards,
            "longest": longest,
            "filler": "some more words " * 500,
        }
        database.execute("BEGIN")
        for statement in (*_FILL, *(_REQUESTS if requests else ())):
            database.execute(statement, {name: value for name, value in given.items() if f":{name}" in statement})
        database.execute("COMMIT")
        database.execute("PRAGMA journal_mode = WAL")


async def _describe(run: RunDirectory, number: int, shards: int, rows: int) -> None:
    async with writing(run) as store:
        await store.metadata.initialize("synthetic")
        await store.metadata.record_plan(Plan(RECIPE, {"models.target": "target"}, revises=True), changed=False)
        await store.metadata.record_configuration("recipes: [clair]\n")
        await store.metadata.put(SHARD, f"{number}/{shards}")
        await store.metadata.put(*state_row(IngestState({"path": "synthetic"}, rows=rows, complete=True)))
        await store.metadata.put(TOKENIZER, DEFAULT_TOKENIZER)

        await store.filter_sets.replace(SETTINGS.model_dump_json(), FILTERS_VERSION, [RECIPE], _nothing())


async def _nothing() -> AsyncIterator[FilterResult]:
    results: tuple[FilterResult, ...] = ()
    for one in results:
        yield one
