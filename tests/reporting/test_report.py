import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen.metrics import contrast as metrics
from clairgen.pipeline.generate import generate
from clairgen.records import Pair, ParseStatus, StoredPair
from clairgen.reporting.recipe_report import ReportedPart, recipe_report
from clairgen.reporting.report import RecipeNumbers, RecipeReport
from clairgen.stats import Estimate
from clairgen.store import RunDirectory, reading
from tests.reporting.made import ALLUDES, TOO_LONG, USUAL, stored_pair
from tests.runs import TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said


def report_on(*pairs: StoredPair, tokenizer: str = "treebank") -> RecipeReport:
    numbers = RecipeNumbers("runs/a", "clair", tokenizer)
    for pair in pairs:
        numbers.add(pair)
    return numbers.report()


def test_kept_and_dropped_add_up_to_the_pairs_made() -> None:
    report = report_on(
        stored_pair(),
        stored_pair(findings=[ALLUDES]),
        stored_pair(findings=[ALLUDES, TOO_LONG, replace(TOO_LONG, reason="another")]),
        stored_pair(None, reason=ParseStatus.EMPTY_SOLUTION),
    )
    assert (report.n, report.kept) == (4, 2)
    assert report.dropped == {"empty-solution": 1, "too-long": 1}
    assert report.marked == {"mentions-revision": 2}


def test_a_pair_without_a_chosen_answer_is_counted_and_not_measured() -> None:
    report = report_on(stored_pair(), stored_pair(None))
    assert (report.n, report.kept, report.dropped) == (2, 1, {"no-solution-header": 1})
    assert report.contrast_of_all.jaccard.n == 1


def test_dropped_pairs_stand_in_the_contrast_of_all_but_not_of_the_kept() -> None:
    far = replace(USUAL, jaccard=0.1, levenshtein=900, length_ratio=4.8)
    report = report_on(stored_pair(), stored_pair(contrast=far, findings=[TOO_LONG]))
    assert report.contrast_of_all.jaccard == Estimate(mean=30, se=20, n=2)
    assert report.contrast_of_all.levenshtein == Estimate(mean=510, se=390, n=2)
    assert report.contrast_of_kept.jaccard == Estimate(mean=50, se=None, n=1)


def test_an_empty_rejected_answer_has_no_length_ratio() -> None:
    report = report_on(stored_pair(rejected="", contrast=replace(USUAL, length_ratio=None)), stored_pair())
    assert report.contrast_of_all.length_ratio == Estimate(mean=1.25, se=None, n=1)
    assert report.contrast_of_all.jaccard.n == 2


def test_jaccard_is_measured_again_under_the_tokenizer_asked_for() -> None:
    stored = stored_pair("cat dog bird", "cat dog fish")  # 2 words in common of 4
    report = report_on(stored, tokenizer="whitespace")
    assert report.contrast_of_all.jaccard.mean == pytest.approx(50.0)
    assert report.contrast_of_all.levenshtein.mean == USUAL.levenshtein
    assert report.tokenizer == "whitespace"


def test_a_pair_that_was_never_measured_is_measured() -> None:
    stored = stored_pair(contrast=None)
    assert isinstance(stored.outcome, Pair)
    measured = metrics.contrast(stored.outcome.chosen.text, stored.outcome.rejected.text, "treebank")
    report = report_on(stored)
    assert report.contrast_of_all.jaccard.mean == pytest.approx(100 * measured.jaccard)
    assert report.contrast_of_all.levenshtein.mean == measured.levenshtein


def test_reasons_stand_by_frequency() -> None:
    rare = replace(TOO_LONG, reason="a-rare-one")
    report = report_on(stored_pair(findings=[rare]), *[stored_pair(findings=[TOO_LONG])] * 2)
    assert list(report.dropped) == ["too-long", "a-rare-one"]


@pytest.mark.slow
def test_ten_thousand_pairs_in_a_stream() -> None:
    def stream() -> Iterator[StoredPair]:
        for number in range(10_000):
            yield stored_pair(contrast=replace(USUAL, levenshtein=number, jaccard=number % 2))

    report = report_on(*stream())
    edits = report.contrast_of_all.levenshtein
    assert report.n == report.kept == edits.n == 10_000
    assert edits.mean == pytest.approx(4999.5)
    assert edits.se == pytest.approx(math.sqrt(10_000 * 10_001 / 12 / 10_000))  # of 0, 1, ..., N - 1: N(N + 1) / 12
    assert report.contrast_of_all.jaccard.mean == pytest.approx(50)


def test_the_json_for_scripts_is_stable() -> None:
    numbers = RecipeNumbers("runs/a", "clair", "treebank")
    numbers.add(stored_pair())
    numbers.add(stored_pair(findings=[TOO_LONG, ALLUDES]))
    content = json.loads(json.dumps(numbers.report(failed=1, pending=2, cost_usd=0.25).to_json()))
    assert content == {
        "run": "runs/a",
        "recipe": "clair",
        "assessment": {
            "kept": 1,
            "of": 2,
            "cost_usd": 0.25,
            "cost_per_kept_usd": 0.25,
            "cues": None,
            "judges": {},
            "next": "2 pairs are still to be made: run clairgen generate again.",
        },
        "n": 2,
        "kept": 1,
        "dropped": {"too-long": 1},
        "marked": {"mentions-revision": 1},
        "failed": 1,
        "pending": 2,
        "cost_usd": 0.25,
        "cost_per_kept_usd": 0.25,
        "contrast": {
            "all": {
                "jaccard": {"mean": 50.0, "se": 0.0, "n": 2},
                "levenshtein": {"mean": 120.0, "se": 0.0, "n": 2},
                "length_ratio": {"mean": 1.25, "se": 0.0, "n": 2},
            },
            "kept": {
                "jaccard": {"mean": 50.0, "se": None, "n": 1},
                "levenshtein": {"mean": 120.0, "se": None, "n": 1},
                "length_ratio": {"mean": 1.25, "se": None, "n": 1},
            },
        },
        "metrics": {},
        "tokenizer": "treebank",
        "judges": [],
        "scores": [],
        "retried": 0,
        "failed_checks": {},
        "audit": None,
        "lengths": None,
        "votes": None,
        "agreement": None,
        "imported_from": None,
        "matched_tasks": None,
        "groups": [],
        "tokeniser": "treebank",
        "reasked": 0,
        "missed": {},
        "deprecated": {
            "tokeniser": "renamed to 'tokenizer'; read that key instead",
            "reasked": "renamed to 'retried'; read that key instead",
            "missed": "renamed to 'failed_checks'; read that key instead",
        },
    }


def test_a_run_without_pairs_has_a_report() -> None:
    report = report_on()
    assert (report.n, report.kept, report.dropped) == (0, 0, {})
    assert report.to_json()["contrast"]["all"]["jaccard"] == {"mean": None, "se": None, "n": 0}
    assert report.cost_usd is None


def _played_unevenly(request: dict[str, Any]) -> Reply:
    """As usual, but the target declines every third question, and of every fifth the reviser sends no revision."""
    prompt = request["messages"][-1]["content"]
    number = int(prompt.partition("Question number ")[2].split()[0])
    if request["model"] == TARGET and number % 3 == 0:
        return said(f"I cannot help with {prompt} at all")
    if request["model"] not in (TARGET, "stronger-model") and number % 5 == 0:
        return said("There is nothing to revise.")
    return played(request)


async def test_figures_that_are_read_without_texts_are_those_of_the_pairs(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(20))
    filters = {"refusal": "drop", "length_ratio": {"bounds": [None, 1.1], "action": "mark"}}
    async with ScriptedEndpoint(_played_unevenly) as endpoint:
        await generate(config(endpoint.url, tasks, filters=filters), tmp_path / "run")
    async with reading(RunDirectory(tmp_path / "run")) as store:
        counts = await store.pairs.statuses()
        for recipe in counts:
            seen: list[StoredPair] = []
            with_texts = await recipe_report(
                [ReportedPart(store)], "run", recipe, "treebank", counts[recipe], seen.append
            )
            without = await recipe_report([ReportedPart(store)], "run", recipe, "treebank", counts[recipe], None)
            assert without == with_texts
            assert (len(seen), without.audit is not None) == (20, True)
            of_clair = {"chosen-refuses", "no-solution-header"}
            assert set(without.dropped) == (of_clair if recipe == "clair" else {"rejected-refuses"})
            assert "length-ratio-above" in without.marked or recipe != "clair"
