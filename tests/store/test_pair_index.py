"""The index of a run's pairs: it finds what a look at each pair finds, follows the run, and can be lost at any moment."""

import itertools
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from clairgen.errors import InputError
from clairgen.keys import pair_id
from clairgen.records import (
    OVERALL,
    Answer,
    Contrast,
    FilterAction,
    Finding,
    Message,
    Pair,
    ParseStatus,
    Score,
    StoredPair,
    Undecided,
    overall_score,
)
from clairgen.store import (
    Certainty,
    Failure,
    FilterResult,
    IndexSearch,
    MadePair,
    MetricRange,
    PairChoice,
    PairCount,
    PairSearch,
    Plan,
    RunDirectory,
    SortKey,
    Store,
    index_file,
    reading,
    reading_index,
    search_words,
    syncing,
    writing,
)
from clairgen.store.search_words import spaced

WORDS = ["apple", "Birne", "café", "don't", "苹果", "x1", "kiwi"]
MARKS, REASONS = ["mentions-revision", "refusal"], ["identical", "too-similar"]
RECIPES = ["clair", "judge"]


def outcome(random: Random, task: str, recipe: str) -> MadePair:
    """A pair of few words, with whatever filters may have found."""
    first, second = (" ".join(random.choices(WORDS, k=random.randint(1, 6))) for _ in range(2))
    rejected, chosen = (Answer(text, "stop", "", "m") for text in (first, second))
    drop = [Finding("f", FilterAction.DROP, reason, None) for reason in REASONS if random.random() < 0.2]
    mark = [Finding("g", FilterAction.MARK, reason, None) for reason in MARKS if random.random() < 0.3]
    prompt = (Message("user", f"{random.choice(WORDS)} {task}"),)
    if random.random() < 0.15:
        return MadePair(
            Undecided(task, recipe, ParseStatus.DECLARED_TIE, (rejected, chosen)), prompt, None, tuple(drop + mark)
        )
    scores = tuple(
        Score(answer.identity, OVERALL, random.choice([0.5, 1.0, None]), "judge")
        for answer in (chosen, rejected)
        if random.random() < 0.7
    )
    contrast = Contrast(
        random.randint(0, 5), random.choice([0.0, 0.2, 0.25, 0.5]), random.choice([None, 0.5, 1.0, 2.5]), "words"
    )
    return MadePair(Pair(task, recipe, chosen, rejected, scores=scores), prompt, contrast, tuple(drop + mark))


@asynccontextmanager
async def written(run: RunDirectory) -> AsyncIterator[Store]:
    async with writing(run) as store:
        await store.metadata.initialize("test")
        for recipe in RECIPES:
            await store.metadata.record_plan(Plan(recipe, {}, revises=True), changed=False)
        if await store.filter_sets.in_force() is None:
            await store.filter_sets.replace("{}", 1, RECIPES, each([]))
        yield store


async def each(results: Sequence[FilterResult]) -> AsyncIterator[FilterResult]:
    for one in results:
        yield one


async def add(store: Store, run: RunDirectory, random: Random, positions: Sequence[int], filter_set: int = 1) -> None:
    """Make the pairs at these positions, again if there are such."""
    for position, recipe in itertools.product(positions, RECIPES):
        made = outcome(random, f"task-{position}", recipe)
        with closing(sqlite3.connect(run.database)) as database, database:
            columns = json.dumps({"source": "ab"[position % 2], "deep": position % 3 == 0})
            row = (pair_id(made.outcome.task_id, recipe), position, made.outcome.task_id, recipe, columns)
            sql = "INSERT OR IGNORE INTO pairs (id, position, task_id, recipe, source_columns) VALUES (?, ?, ?, ?, ?)"
            database.execute(sql, row)
        await store.pairs.save(made, filter_set)


@pytest.fixture
async def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    async with written(run) as store:
        await add(store, run, Random(1), range(1, 31))
    return run


async def synced(run: RunDirectory, name: str = "index.db", group: int = 7, steps: int = 10_000) -> Path:
    path = run.path.parent / name
    async with syncing(path, run.database, group) as sync:
        for _ in range(steps):
            if not await sync.step():
                assert (await sync.state()).is_current
                break
    return path


def dumped(path: Path) -> Any:  # noqa: ANN401 - rows of several tables
    """What an index holds of each pair, whatever the numbers of its documents."""
    with closing(sqlite3.connect(path)) as index:
        docs = index.execute("SELECT d.pair_id, d.* FROM docs d").fetchall()
        names = {doc: pair for pair, doc, *_ in docs}
        facets = {(facet, names[doc]) for facet, doc in index.execute("SELECT facet, doc FROM facets") if doc in names}
        found = {
            word: {
                names[doc]
                for (doc,) in index.execute("SELECT rowid FROM search WHERE search MATCH ?", (word,))
                if doc in names
            }
            for word in ("apple", "birne", "cafe", '"don t"', '"苹 果"')
        }
        counts = sorted(
            index.execute("SELECT r.name, c.facet, c.pairs FROM counts c JOIN recipes r ON r.number = c.recipe")
        )
        pairs = index.execute("SELECT value FROM state WHERE key = 'pairs'").fetchall()
    return {pair: figures for pair, _, _, *figures in docs}, facets, found, counts, pairs


def values_of(stored: StoredPair) -> dict[SortKey, float | None]:
    """The metrics of a pair."""
    pair, contrast = stored.outcome, stored.contrast
    values: dict[SortKey, float | None] = dict.fromkeys(SortKey)
    if isinstance(pair, Pair) and contrast is not None:
        values[SortKey.JACCARD], values[SortKey.LEVENSHTEIN] = contrast.jaccard, contrast.levenshtein
        values[SortKey.LENGTH_RATIO] = contrast.length_ratio
        values[SortKey.CHARACTER_DIFFERENCE] = len(pair.chosen.text) - len(pair.rejected.text)
        chosen, rejected = (overall_score(one, pair.scores) for one in (pair.chosen, pair.rejected))
        values[SortKey.SCORE_DIFFERENCE] = None if chosen is None or rejected is None else chosen - rejected
    return values


def is_meant(stored: StoredPair, search: PairSearch, words: Sequence[str]) -> bool:
    """Whether a pair is among those that are searched for."""
    pair, choice, dropped = stored.outcome, search.choice, stored.dropped_by
    answers = pair.replies if isinstance(pair, Undecided) else (pair.chosen, pair.rejected)
    text = " ".join([*(message.content for message in stored.task.messages), *(one.text for one in answers)])
    lost = dropped.reason if dropped else pair.reason.value if isinstance(pair, Undecided) else None
    values = values_of(stored)
    return (
        choice.recipe in (None, pair.recipe)
        and not (choice.kept and lost)
        and choice.dropped in (None, lost)
        and (choice.mark is None or choice.mark in {one.reason for one in stored.findings})
        and (choice.column is None or str(stored.source_columns[choice.column[0]]).lower() == choice.column[1])
        and all(word in text for word in words)
        and all(
            (value := values[one.metric]) is not None
            and (one.lowest is None or value >= one.lowest)
            and (one.below is None or value < one.below)
            for one in search.ranges
        )
    )


def by_looking(pairs: Sequence[StoredPair], search: PairSearch, words: Sequence[str]) -> list[str]:
    """The ids of all pairs that are searched for, in order, by a look at each."""
    sign = -1 if search.descending else 1
    found = [one for one in pairs if is_meant(one, search, words)][::sign]
    if search.sort is not None:
        ranked = [(values_of(one)[search.sort], one) for one in found]
        found = [one for _, one in sorted(ranked, key=lambda entry: (entry[0] is None, sign * (entry[0] or 0)))]
    return [one.id for one in found]


SEARCHES = [
    (words, choice, ranges, sort, descending)
    for words, choice, ranges, sort, descending in itertools.product(
        [(), ("apple",), ("kiwi", "don't")],
        [PairChoice(), PairChoice(recipe="judge", kept=True), PairChoice(dropped="identical"),
         PairChoice(mark="refusal", column=("source", "b")), PairChoice(column=("deep", "true"))],
        [(), (MetricRange(SortKey.JACCARD, 0.2, 0.5),),
         (MetricRange(SortKey.LEVENSHTEIN, None, 4), MetricRange(SortKey.LENGTH_RATIO, 0.5, None))],
        [None, SortKey.JACCARD, SortKey.LENGTH_RATIO, SortKey.SCORE_DIFFERENCE, SortKey.CHARACTER_DIFFERENCE],
        [False, True],
    )
]  # fmt: skip


@pytest.mark.parametrize("rare", [0, 5, 1000])
async def test_it_finds_what_a_look_at_each_pair_finds(run: RunDirectory, rare: int) -> None:
    path = await synced(run)
    async with reading(run) as store:
        pairs = [stored for recipe in RECIPES async for stored in store.pairs.made(recipe)]
    async with reading_index(path) as index:
        search_in = IndexSearch(index._reader, rare, rare)
        for words, choice, ranges, sort, descending in SEARCHES[rare % 3 :: 3]:  # all of them over the three numbers
            typed = search_words(" ".join(words)) if words else None
            search = PairSearch(choice, typed, ranges, sort, descending)
            expected = by_looking(pairs, search, words)
            assert await search_in.ids(search, None, 1000) == expected, search
            assert await search_in.ids(search, None, 1000, backward=True) == expected[::-1], search
            for start in range(0, len(expected), 11):
                page = await search_in.ids(search, expected[start], 3)
                assert page == expected[start + 1 : start + 4], (search, start)
                page = await search_in.ids(search, expected[start], 3, backward=True)
                assert page == expected[max(start - 3, 0) : start][::-1], (search, start)
            count = await search_in.count(search)
            assert count is not None
            if count.certainty is Certainty.AT_LEAST:
                assert count.pairs <= len(expected)
            else:
                assert count == PairCount(len(expected)), search
        with pytest.raises(InputError, match="has no pair 0000 yet, so no page can begin there"):
            await search_in.ids(PairSearch(PairChoice()), "0000", 1)


async def test_it_follows_all_that_happens_to_pairs(run: RunDirectory, tmp_path: Path) -> None:
    path = await synced(run)
    async with written(run) as store:
        await add(store, run, Random(2), [3, 4, 31])  # made again, and new
        await store.pairs.save_findings(
            pair_id("task-5", "clair"), (Finding("f", FilterAction.DROP, "refusal", None),), 1
        )
        await store.pairs.fail(Failure("task-6", "clair", None, "gone", ""))
    assert dumped(await synced(run)) == dumped(await synced(run, "anew.db"))
    async with written(run) as store:
        changed = pair_id("task-8", "judge")
        results = [
            FilterResult(changed, (Finding("f", FilterAction.DROP, "new", None),), Contrast(9, 0.9, 9.0, "words"))
        ]
        await store.filter_sets.replace("{}", 1, RECIPES, each(results))
    assert dumped(await synced(run)) == dumped(await synced(run, "anew2.db"))
    async with reading_index(path) as index:
        undecided = len(await index.ids(PairSearch(PairChoice(dropped="declared-tie")), None, 100))
        assert undecided > 0
        assert await index.verdicts() == {"dropped": {"declared-tie": undecided, "new": 1}, "mark": {}}
        assert await index.ids(PairSearch(PairChoice(dropped="new")), None, 9) == [changed]
    async with written(run) as store:
        await store.metadata.record_plan(
            Plan("judge", {"new": 1}, revises=True), changed=True
        )  # its pairs are to be made again
    assert dumped(await synced(run)) == dumped(await synced(run, "anew3.db"))
    for seed in range(3, 7):  # the versions of a document
        async with written(run) as store:
            await add(store, run, Random(seed), [1, 2], 2)
        await synced(run)
    assert dumped(path) == dumped(await synced(run, "anew4.db"))


async def test_it_goes_on_wherever_it_was_stopped(run: RunDirectory) -> None:
    whole = dumped(await synced(run))
    for steps in range(1, 14):
        await synced(run, "stopped.db", steps=1)
        if steps == 5:
            async with written(run) as store:
                await add(store, run, Random(8), [40])
    assert dumped(await synced(run, "stopped.db")) == dumped(await synced(run)) != whole


async def test_a_run_that_was_restored_or_replaced_is_read_anew(run: RunDirectory, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "backup")
    async with written(run) as store:
        await add(store, run, Random(3), [1, 50])
    path = await synced(run)
    shutil.rmtree(run.path)
    shutil.copytree(tmp_path / "backup", run.path)
    async with written(run) as store:
        await add(store, run, Random(4), [1, 51])
    assert dumped(await synced(run)) == dumped(await synced(run, "anew.db"))
    shutil.rmtree(run.path)
    run.create()
    async with written(run) as store:
        await add(store, run, Random(5), [1])
    assert dumped(await synced(run)) == dumped(await synced(run, "anew2.db"))
    assert path.exists()


async def test_pairs_of_one_position_have_documents_of_their_own(run: RunDirectory) -> None:
    with closing(sqlite3.connect(run.database)) as database, database:
        database.execute("UPDATE pairs SET position = 1 WHERE position < 5")
    async with reading_index(await synced(run, group=1)) as index:
        assert len(await index.ids(PairSearch(PairChoice()), None, 1000)) == 60


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("cat", "ab"), ("CAT dog", "a"), ('"cat and"', "a"), ('"and cat"', ""), ("straße", "b"), ("creme", "b"),
        ("crème", "b"), ("bruleé*", "b"), ("cat*", "abc"), ('"a cat"*', "abc"), ("cat -dog", "a"), ("cat OR dog", ""),
        ("NEAR(cat dog)", ""), ("cat:dog", ""), ("chosen:cat", ""), ('"cat', "ab"), ('cat"', "ab"), ("don't", "c"),
        ('"t don"', ""), ("世界", "c"), ("界世", ""), ("(cat)", "ab"), ("^cat", "ab"), ("cat\0dog", "a"),
        ("cat \ud800", "ab"), ("{cat} + ;--", "ab"), ("3.14", "b"),
    ],
)  # fmt: skip
def test_whatever_is_typed_is_looked_for_as_words(typed: str, found: str) -> None:
    texts = {
        "a": "A cat and dog",
        "b": "a cat. Crème brûlée: 3.14 Straße",
        "c": "a catalog; don't say t 世界",
    }
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(
            "CREATE VIRTUAL TABLE search USING fts5 (name UNINDEXED, text, tokenize='unicode61 remove_diacritics 2')"
        )
        database.executemany("INSERT INTO search VALUES (?, ?)", [(name, spaced(text)) for name, text in texts.items()])
        words = search_words(typed)
        assert words.fault is None
        rows = database.execute("SELECT name FROM search WHERE search MATCH ? ORDER BY name", (words.expression,))
        assert "".join(name for (name,) in rows) == found


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("", "no word to search for"), ('"" * -- !', "no word to search for"), ("it*", "at least 3 characters: it*"),
        ("_", "no word to search for"), ("a " * 33, None), (" ".join(f"w{n}" for n in range(33)), "at most 32 words"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_for_is_said_in_a_sentence(typed: str, fault: str | None) -> None:
    found = search_words(typed).fault
    assert found == fault if fault is None or found is None else fault in found


def test_an_index_has_a_file_of_its_own_whatever_the_name_of_its_run(tmp_path: Path) -> None:
    names = ["run", "x" * 255, "x" * 254 + "y", "é" * 120, "ø" * 120]
    files = {index_file(tmp_path, name) for name in names}
    assert len(files) == len(names)
    assert all(len(file.name.encode()) < 255 and file.parent == tmp_path / ".clairgen" / "index" for file in files)
