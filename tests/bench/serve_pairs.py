"""The pairs of a large run in the service: the time of each kind of page, of its index, and what the index takes.

python -m tests.bench.serve_pairs --pairs 1000000
python -m tests.bench.serve_pairs --pairs 1000000 --folder /tmp/served --keep
"""

import contextlib
import math
import random
import sqlite3
import zlib
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.registry import FILTERS_VERSION
from clairgen.keys import digest, messages_json, pair_id
from clairgen.metrics.contrast import DEFAULT_TOKENIZER, METRICS_VERSION
from clairgen.records import Message
from clairgen.store import Plan, RunDirectory, writing

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
    names = list(pairs[0])
    sql = f"INSERT INTO pairs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - the names above
    database.executemany(sql, [tuple(row.values()) for row in pairs])
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
