"""The scores of a pair as columns of an export: overall ones, and by criterion where there is a rubric."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.exporting.score_columns import score_kinds, with_score_columns
from clairgen.pipeline.generate import generate
from clairgen.records import OVERALL, Pair, Score, StoredPair
from tests.exporting.stored_pairs import stored_pair
from tests.recipes.test_rubric import rubric_run, scored_text
from tests.runs import TARGET, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said


def scored(*scores: Score) -> StoredPair:
    stored = stored_pair()
    assert isinstance(stored.outcome, Pair)
    return replace(stored, outcome=replace(stored.outcome, scores=scores), source_columns={"topic": "sums"})


def test_a_pair_has_its_mean_scores_beside_its_other_columns() -> None:
    given = [
        Score("chosen-key-0", "clear", 4, "judge"),
        Score("chosen-key-0", OVERALL, 0.75, "judge"),
        Score("chosen-key-0", "clear", 5, "judge-2"),
        Score("chosen-key-0", OVERALL, 1.0, "judge-2"),
        Score("rejected-key-0", OVERALL, 0.25, "judge"),
        Score("another-key", "clear", 1, "judge"),
    ]
    assert with_score_columns(scored(*given)).source_columns == {
        "topic": "sums",
        "chosen_score": 0.875,
        "rejected_score": 0.25,
        "chosen_criteria": {"clear": 4.5},
        "rejected_criteria": None,
    }


def test_pairs_without_scores_stay_as_they_are() -> None:
    assert with_score_columns(scored()) == scored()
    undecided = stored_pair(chosen=None)
    assert with_score_columns(undecided) is undecided
    assert score_kinds([]) == {}
    assert score_kinds([OVERALL]) == {"chosen_score": "number", "rejected_score": "number"}


@pytest.mark.slow
async def test_an_export_of_a_rubric_has_the_columns_and_its_card_says_what_they_hold(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if request["model"] == TARGET:
            drawn.append(1)
            return said(f"an answer of {len(drawn)} parts")
        number = int(scored_text(request).split()[3])
        return said(f"correct: {1 + number % 5}\neasy to read: 5")

    drawn: list[int] = []
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    async with ScriptedEndpoint(script) as endpoint:
        await generate(rubric_run(endpoint.url, tasks, samples=2), tmp_path / "run")
    summary = await api.export(tmp_path / "run", tmp_path / "out")
    assert summary.source_columns == ("chosen_score", "rejected_score", "chosen_criteria", "rejected_criteria")
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=str(next((tmp_path / "out").rglob("*.parquet"))), split="train")
    for row in rows:
        chosen, rejected = json.loads(row["chosen_criteria"]), json.loads(row["rejected_criteria"])
        assert chosen["correct"] > rejected["correct"]
        assert row["chosen_score"] == pytest.approx((3 * (chosen["correct"] - 1) / 4 + 0.5) / 4)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| `chosen_score` | the overall score of the chosen answer: the mean over its scorers, or the one " in card
