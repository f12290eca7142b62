"""What a report comes to: each thing that can be said, and the first thing to do about it."""

from collections.abc import Mapping

import pytest

from clairgen.reporting.assessment import Assessment, next_step
from clairgen.reporting.position_bias import JudgeReport, judge_report
from clairgen.reporting.shortcut_audit import Audit, FeatureShift
from clairgen.stats import Estimate

LEANS = judge_report("judge", first=90, second=10)
BOTH_ORDERS = judge_report("judge", first=90, second=10, flipped=5, in_both_orders=50)


def audit(feature: str, *, low: float = 0.8) -> Audit:
    return Audit(100, 0.9, (low, 0.95), (FeatureShift(feature, Estimate(1.0, 0.1, 100), 0.9, 0.2, True),))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"pending": 2}, "2 pairs are still to be made"),
        ({"n": 0, "kept": 0}, "No pair was made: see why with clairgen status 'my runs/a'"),
        (
            {"kept": 0, "dropped": {"identical": 60, "too-long": 40}},
            "No pair is kept: look at what is dropped with clairgen show 'my runs/a' --recipe clair --dropped identical",
        ),
        (
            {"kept": 85, "dropped": {"no-solution-header": 15}},
            "15% are dropped for no-solution-header: look at some with clairgen show 'my runs/a' --recipe clair --dropped",
        ),
        ({"kept": 85, "dropped": {"chosen-truncated": 15}}, "--dropped chosen-truncated, and raise max_tokens."),
        ({"kept": 85, "dropped": {"identical": 15}}, "Export the pairs: clairgen export 'my runs/a'"),
        ({"kept": 85, "dropped": {"tie-between-orders": 15}}, "Export the pairs"),
        ({"judges": (LEANS,)}, "write the recipe as {name: clair, order: both}"),
        ({"judges": (BOTH_ORDERS,)}, "Export the pairs"),
        (
            {"audit": audit("words")},
            "keep pairs of like length with clairgen filter 'my runs/a' --length-ratio 0.8:1.25 --drop length_ratio",
        ),
        ({"audit": audit("words"), "length_ratio": 3.08}, "chosen answers are 3.1 times as long as rejected ones"),
        (
            {"audit": audit("words"), "length_ratio": 3.08},
            "as long as rejected ones; the recipe clair keeps their length.",
        ),
        (
            {"audit": audit("words"), "length_ratio": 3.08, "imported": True},
            "as long as rejected ones; select pairs that length does not give away with clairgen export 'my runs/a'",
        ),
        ({"n": 9, "kept": 9, "imported": True}, "import more, or export them"),
        ({"audit": audit("bold")}, "look at some pairs with clairgen show 'my runs/a' --recipe clair --random"),
        ({"audit": audit("bold", low=0.45)}, "Export the pairs"),
        (
            {"n": 9, "kept": 9},
            "These are few pairs to judge by: add tasks, or export them as they are: clairgen export",
        ),
        ({"failed": 1}, "1 task failed: see why with clairgen status"),
    ],
)
def test_the_first_thing_to_do_is_said(facts: Mapping[str, object], said: str) -> None:
    usual = {"n": 100, "kept": 100, "failed": 0, "pending": 0, "dropped": {}, "audit": None, "judges": ()}
    step = next_step("my runs/a", "clair", **{**usual, "length_ratio": 1.0, **facts})  # type: ignore[arg-type]
    assert said in step
    assert step[0].isupper() or step[0].isdigit()
    assert step.endswith(".")


@pytest.mark.parametrize(
    ("kept", "cost", "found", "judges", "words"),
    [
        (50, None, None, (), ("50 of 100 (50%)", "not known", "not audited", "no judge")),
        (5, 0.0, None, (), ("5 of 100 (5%)", "free", "too few pairs to tell", "no judge")),
        (0, 2.0, None, (), ("0 of 100 (0%)", "$2.0000", "too few pairs to tell", "no judge")),
        (
            50,
            2.0,
            audit("bold"),
            (LEANS, judge_report("judge-2", first=5, second=5)),
            (
                "50 of 100 (50%)",
                "$2.0000 ($0.0400 a pair kept)",
                "yes, AUC 0.900: bold",
                "judge: first position (90.0% first); judge-2: neither position (50.0% first)",
            ),
        ),
        (
            50,
            2.0,
            audit("bold", low=0.4),
            (),
            ("50 of 100 (50%)", "$2.0000 ($0.0400 a pair kept)", "none seen, AUC 0.900", "no judge"),
        ),
    ],
)
def test_it_is_said_in_the_words_of_a_table(
    kept: int, cost: float | None, found: Audit | None, judges: tuple[JudgeReport, ...], words: tuple[str, ...]
) -> None:
    assessment = Assessment(kept, 100, cost, found, judges, "Next.")
    assert (assessment.kept_words, assessment.cost_words, assessment.cue_words, assessment.judge_words) == words
