"""Scores are committed with their pair, read back with it, counted for reports, and a run from before them is migrated."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from clairgen.keys import messages_json, pair_id
from clairgen.records import OVERALL, Answer, Message, Pair, ParseStatus, Score, Undecided, overall_score
from clairgen.store import MadePair, RunDirectory, Store, migrate, reading, writing
from clairgen.store.schema import MIGRATIONS, VERSION
from clairgen.store.scores import ScoreNumbers
from clairgen.store.statements import compressed

BEST, WORST, THIRD = (Answer(f"answer {name}", "stop", f"key-{name}", "student") for name in ("best", "worst", "third"))
PROMPT = (Message("user", "2 + 2?"),)
UNREADABLE = ParseStatus.MISSING_CRITERION


def scored(answer: Answer, value: float | None, criterion: str = OVERALL) -> Score:
    status = ParseStatus.OK if value is not None else UNREADABLE
    return Score(
        answer.identity,
        criterion,
        value,
        "judge",
        f"scoring-of-{answer.key}",
        status,
        1,
        "why" if criterion == OVERALL else None,
    )


SCORES = (
    *(scored(BEST, 4.0, "clear"), scored(BEST, 0.75)),
    *(scored(WORST, 2.0, "clear"), scored(WORST, 0.25)),
    *(scored(THIRD, None, "clear"), scored(THIRD, None)),
)
PAIR = Pair("task-1", "rubric", BEST, WORST, parser_version=1, scores=SCORES)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    return run


async def save(store: Store, outcome: Pair | Undecided, run: RunDirectory) -> None:
    with closing(sqlite3.connect(run.database)) as database:
        row = (pair_id(outcome.task_id, outcome.recipe), 1, outcome.task_id, outcome.recipe)
        database.execute("INSERT OR IGNORE INTO pairs (id, position, task_id, recipe) VALUES (?, ?, ?, ?)", row)
        for answer in (BEST, WORST):
            database.execute(
                "INSERT OR IGNORE INTO completions (key, role, model, sample, parameters, messages, text, finish_reason, "
                "latency_seconds, endpoint, created_at) VALUES (?, 'target', ?, 0, '{}', '', ?, 'stop', 1.0, '', '')",
                (answer.key, answer.model, answer.text),
            )
        database.commit()
    await store.pairs.save(MadePair(outcome, PROMPT, None, ()), filter_set=1)


@pytest.mark.parametrize(
    "outcome",
    [
        PAIR,
        Undecided("task-1", "rubric", ParseStatus.BELOW_MARGIN, (BEST, WORST), parser_version=1, scores=SCORES),
        Undecided("task-1", "rubric", ParseStatus.BROKEN_JSON, (BEST, WORST), parser_version=1, scores=SCORES),
    ],
)
async def test_an_outcome_is_read_back_with_its_scores(run: RunDirectory, outcome: Pair | Undecided) -> None:
    async with writing(run) as store:
        await save(store, outcome, run)
        [stored] = [one async for one in store.pairs.made("rubric")]
    assert stored.outcome.scores == outcome.scores
    if isinstance(outcome, Undecided):
        assert isinstance(stored.outcome, Undecided)
        assert len(stored.outcome.answers) == 2  # not an answer and a reply that could not be parsed


async def test_a_pair_made_again_has_its_new_scores_alone(run: RunDirectory) -> None:
    async with writing(run) as store:
        await save(store, PAIR, run)
        await save(store, replace(PAIR, scores=SCORES[:2]), run)
        [stored] = await store.pairs.find("task-1")
        assert stored.outcome.scores == SCORES[:2]
        await save(store, replace(PAIR, scores=()), run)
        [stored] = await store.pairs.find("task-1")
        assert stored.outcome.scores == ()


async def test_numbers_count_scores_by_side_and_what_could_not_be_read_by_reason(run: RunDirectory) -> None:
    async with writing(run) as store:
        await save(store, PAIR, run)
        await save(store, replace(PAIR, task_id="task-2", chosen=WORST, rejected=BEST), run)
        await save(store, replace(PAIR, recipe="other"), run)
        numbers = await store.scores.numbers("rubric")
    lost = {UNREADABLE.value: 2}
    assert numbers == [
        ScoreNumbers("judge", "clear", 4, 3.0, 3.0, 3.0, lost),
        ScoreNumbers("judge", OVERALL, 4, 0.5, 0.5, 0.5, lost),
    ]


def test_an_answers_overall_score_is_the_mean_of_its_scorers_if_all_gave_one() -> None:
    second = replace(scored(BEST, 0.25), scorer="judge-2")
    assert overall_score(BEST, (*SCORES, second)) == 0.5
    assert overall_score(BEST, (*SCORES, replace(second, value=None, status=UNREADABLE))) is None
    assert overall_score(THIRD, SCORES) is None
    assert overall_score(Answer("unheard", "stop", "key"), SCORES) is None


def test_recorded_answers_are_told_apart_by_their_text_however_much_space_is_around_it() -> None:
    first, second = Answer(" one\n", "recorded", ""), Answer("two \ud800", "recorded", "")
    assert first.identity == replace(first, text="one").identity != second.identity
    assert BEST.identity == "key-best"


async def test_a_run_from_before_scores_is_migrated_with_its_pairs(run: RunDirectory) -> None:
    with closing(sqlite3.connect(run.database)) as database:
        database.create_function("pair_id", 2, pair_id)
        for number, migration in enumerate(MIGRATIONS[:9], start=1):
            database.executescript(f"{migration} PRAGMA user_version = {number};")
        made = ("a", 1, "task", "clair", "made", "hash", "yes", "no", "stop", "stop", "m", "m", "ok", 1)
        database.execute(
            "INSERT INTO pairs (id, position, task_id, recipe, status, prompt, chosen, rejected, chosen_finish_reason, "
            "rejected_finish_reason, chosen_model, rejected_model, parse_status, filter_set) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            made,
        )
        database.execute("INSERT INTO messages VALUES ('hash', ?)", (compressed(messages_json(PROMPT)),))
        database.commit()
    assert await migrate(run.path) == (9, VERSION)
    async with reading(run) as store:
        assert await store.pairs.statuses() == {"clair": {"made": 1}}
        assert await store.scores.numbers("clair") == []
        [stored] = [one async for one in store.pairs.made("clair")]
    assert (stored.task.messages, stored.outcome.scores) == (PROMPT, ())
