import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from clairgen.reporting.shortcut_audit import FEWEST_PAIRS, Audit, FeatureDifferences, auc, auc_interval
from clairgen.reporting.surface_features import FEATURES
from tests.reporting.made import TOO_LONG, stored_pair

pytestmark = pytest.mark.slow

SENTENCE = "the cat sat on a mat and then it may have slept very well under 12 stars (so they say) - I think"
WORDS = SENTENCE.split(" ")


def answer(draw: random.Random) -> str:
    sentences = [" ".join(draw.choices(WORDS, k=draw.randint(4, 12))) for _ in range(draw.randint(2, 9))]
    return draw.choice([". ", "!\n", ".\n- ", ".\n\n"]).join(sentences)


def audited(plant: Callable[[str], str], *, pairs: int = 300, share: float = 0.5, seed: int = 1) -> Audit:
    """The audit of pairs of random answers, in a share of which something is planted in the chosen one."""
    draw = random.Random(seed)
    differences = FeatureDifferences()
    for number in range(pairs):
        chosen, rejected = answer(draw), answer(draw)
        differences.compare(plant(chosen) if draw.random() < share else chosen, rejected, number % 5)
    audit = differences.audit()
    assert audit is not None
    return audit


@pytest.mark.parametrize(
    ("feature", "plant"),
    [
        ("opens by agreeing", lambda text: f"Certainly! {text}"),
        ("headings", lambda text: f"# Answer\n{text}"),
        ("bold", lambda text: text.replace("cat", "**cat**").replace("mat", "**mat**")),
        ("code fences", lambda text: f"```\n{text}\n```"),
        ("closes with an offer", lambda text: f"{text}\nI hope this helps."),
        ("hedges", lambda text: f"{text} Perhaps it could possibly seem so, maybe."),
        ("bullets", lambda text: text.replace(". ", ".\n- ") + "\n- more\n- more\n- more\n- more"),
    ],
)
def test_a_planted_cue_is_found_and_named(feature: str, plant: Callable[[str], str]) -> None:
    audit = audited(plant)
    assert audit.tells_apart
    assert audit.shifts[0].feature == feature
    assert audit.shifts[0].clear
    assert audit.shifts[0].importance > 0.05
    assert audit.shifts[0].univariate_auc > 0.6


def test_length_is_found_by_its_own_name() -> None:
    audit = audited(lambda text: f"{text} {text}", share=1.0)
    shifts = {one.feature: one for one in audit.shifts}
    assert audit.auc > 0.8
    assert shifts["characters"].clear
    assert shifts["words"].clear


def test_what_only_rejected_answers_have_counts_as_less() -> None:
    draw = random.Random(2)
    differences = FeatureDifferences()
    for number in range(200):
        differences.compare(answer(draw), f"Sure! {answer(draw)}", number % 5)
    audit = differences.audit()
    assert audit is not None
    opener = next(one for one in audit.shifts if one.feature == "opens by agreeing")
    assert (opener.shift.mean, opener.shift.n, opener.univariate_auc) == (-1.0, 200, 0.0)
    assert audit.auc > 0.99


def test_answers_without_a_cue_are_not_told_apart() -> None:
    """Over many audits the AUC averages one half, and the interval leaves one half out in at most a few of a hundred."""
    audits = [audited(str, pairs=60, seed=seed) for seed in range(30)]
    assert sum(audit.auc for audit in audits) / 30 == pytest.approx(0.5, abs=0.04)
    outside = sum(not audit.interval[0] <= 0.5 <= audit.interval[1] for audit in audits)
    assert outside <= 4  # of 30 at 5% each: more has a chance below 2%
    assert sum(one.clear for audit in audits for one in audit.shifts) <= 5


def test_swapping_the_answers_of_a_pair_changes_nothing_but_signs() -> None:
    draw = random.Random(3)
    pairs = [(answer(draw), answer(draw)) for _ in range(50)]
    there, back = FeatureDifferences(), FeatureDifferences()
    for number, (one, other) in enumerate(pairs):
        there.compare(one, other, number % 5)
        back.compare(other, one, number % 5)
    forward, backward = there.audit(), back.audit()
    assert forward is not None
    assert backward is not None
    assert forward.auc == pytest.approx(backward.auc)
    means = {one.feature: one.shift.mean or 0.0 for one in forward.shifts}
    assert all(one.shift.mean == pytest.approx(-means[one.feature]) for one in backward.shifts)


def test_a_cue_that_only_some_tasks_have_is_not_learned_from_the_task_itself() -> None:
    """Each task's own cue, the same in all its pairs: a model that saw the task would tell them apart, another cannot."""
    draw = random.Random(4)
    differences = FeatureDifferences()
    for task in range(60):
        sign = draw.random() < 0.5
        for _ in range(5):
            marked, plain = f"{answer(draw)} {'!' * 40}", answer(draw)
            differences.compare(*((marked, plain) if sign else (plain, marked)), task % 5)
    audit = differences.audit()
    assert audit is not None
    assert not audit.auc > 0.65


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1.0, 2.0, 0.5], 1.0),
        ([-1.0, -2.0], 0.0),
        ([0.0, 0.0], 0.5),
        # of the four sums 2, 0.5, 0.5 and -1 three are above zero
        ([1.0, -0.5], 3 / 4),
    ],
)
def test_auc_counts_sums_above_zero(scores: list[float], expected: float) -> None:
    assert auc(np.array(scores)) == expected


def test_the_interval_narrows_with_pairs_and_never_to_a_point() -> None:
    low, high = auc_interval(1.0, 12)
    assert high == 1.0
    assert low < 0.9
    widths = [auc_interval(0.7, n)[1] - auc_interval(0.7, n)[0] for n in (20, 80, 320)]
    assert widths[0] > widths[1] > widths[2]
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.1)
    at_half = auc_interval(0.5, 2250)
    # n pairs of five folds count as n / 2.25; the null variance of the signed-rank statistic is 1 / 3n
    assert at_half[1] - 0.5 == pytest.approx(1.96 / math.sqrt(3 * 1000), rel=0.02)
    assert at_half[0] + at_half[1] == pytest.approx(1.0)


def test_dropped_and_undecided_pairs_are_left_out() -> None:
    differences = FeatureDifferences()
    for _ in range(FEWEST_PAIRS - 1):
        differences.add(stored_pair())
    differences.add(stored_pair(None))
    differences.add(stored_pair(findings=[TOO_LONG]))
    assert differences.audit() is None
    differences.add(stored_pair())
    audit = differences.audit()
    assert audit is not None
    assert audit.n == FEWEST_PAIRS


def test_a_sample_holds_its_share_of_the_tasks() -> None:
    from dataclasses import replace

    sampled = FeatureDifferences(share=0.5)
    for number in range(400):
        pair = stored_pair()
        sampled.add(replace(pair, task=replace(pair.task, id=f"task-{number}")))
    audit = sampled.audit()
    assert audit is not None
    assert 150 < audit.n < 250


def test_json_names_every_feature() -> None:
    content = audited(str, pairs=20).to_json()
    assert {one["feature"] for one in content["features"]} == set(FEATURES)
    former = {"auc_alone", "auc_lost_without"}
    assert set(content["features"][0]) == {"feature", "shift", "clear", "univariate_auc", "importance", *former}
    assert set(content["deprecated"]) == former
    for one in content["features"]:
        assert (one["auc_alone"], one["auc_lost_without"]) == (one["univariate_auc"], one["importance"])
    assert content["n"] == 20


def test_a_stream_of_unknown_length_is_sampled_by_task_whatever_the_order() -> None:
    draw = random.Random(1)
    pairs = [(f"task {number // 2}", answer(draw), answer(draw)) for number in range(600)]
    whole, there, back = FeatureDifferences(), FeatureDifferences(most=200), FeatureDifferences(most=200)
    for differences, stream in ((whole, pairs), (there, pairs), (back, pairs[::-1])):
        for task, chosen, rejected in stream:
            differences.add_texts(task, chosen, rejected)
    audits = [differences.audit() for differences in (whole, there, back)]
    assert [audit is not None and audit.n for audit in audits] == [600, there.tasks * 2, there.tasks * 2]
    assert 75 < there.tasks * 2 <= 200
    assert audits[1] is not None
    assert audits[2] is not None
    assert audits[1].auc == pytest.approx(audits[2].auc, abs=1e-3)
