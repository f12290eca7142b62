from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.errors import ConfigError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import FilterPipeline, RunFilters
from clairgen.filters.registry import FILTERS
from clairgen.records import Contrast, FilterAction, Finding, Message, Pair, ParseStatus, Undecided
from tests.filters.pairs import USUAL, answer, pair, undecided

DROP, MARK = FilterAction.DROP, FilterAction.MARK
FAR = Contrast(levenshtein=9000, jaccard=0.01, length_ratio=4.8, tokenizer="treebank")
ALL_BOUNDS = {"jaccard": [10, None], "levenshtein": [None, 5000]}


ASKED = (Message("user", "What is six times seven, and how do you know that it is so?"),)
NEAR = Finding("near_duplicate", MARK, "near-duplicate-prompt", "a")
LONG = Finding("length_ratio", DROP, "length-ratio-above", 4.8)


def findings(
    pair: Pair | Undecided,
    contrast: Contrast | None = USUAL,
    settings: Mapping[str, object] | None = None,
    *,
    revises: bool = True,
) -> tuple[Finding, ...]:
    return FilterPipeline(FilterSettings.model_validate(settings or {})).apply(
        pair, contrast, revises=revises, prompt=ASKED
    )


def test_a_sound_pair_has_no_findings() -> None:
    assert findings(pair(), settings=ALL_BOUNDS) == ()


def test_findings_stand_in_the_order_of_the_filters() -> None:
    blank_and_cut = pair(answer("", finish_reason="length"), answer(" "))
    found = findings(blank_and_cut, FAR, ALL_BOUNDS)
    assert [finding.filter for finding in found] == [
        name
        for name in list(FILTERS)[:10]
        if name not in ("format", "cut_prompt", "embedded_markup", "length_difference")
    ]


def test_a_pair_is_seen_by_the_filters_of_its_own_recipe() -> None:
    written = {
        "length_ratio": "drop",
        "recipes": {"degrade": {"length_ratio": "mark"}, "other": {"length_ratio": "off"}},
    }
    by_recipe = {
        recipe: [found.action for found in findings(replace(pair(), recipe=recipe), FAR, written)]
        for recipe in ("clair", "degrade", "other")
    }
    assert by_recipe == {"clair": [DROP], "degrade": [MARK], "other": []}


def test_a_truncated_reply_is_dropped_as_truncated_before_its_format_counts() -> None:
    cut = undecided(unparsed=answer("{teacher", finish_reason="length"))
    assert findings(cut) == (
        Finding("truncated", DROP, "chosen-truncated", None),
        Finding("format", DROP, "no-solution-header", None),
    )


def test_what_was_not_decided_is_seen_only_by_the_filters_for_it(tmp_path: Path) -> None:
    (tmp_path / "eval.txt").write_text(ASKED[0].content, encoding="utf-8")
    refused = undecided(answer("I cannot help with that."), ParseStatus.DECLARED_TIE)
    found = findings(refused, settings={"contamination": {"files": [str(tmp_path / "eval.txt")]}, "format": "mark"})
    assert found == (Finding("format", MARK, "declared-tie", None),)
    over_the_run = RunFilters(FilterSettings.model_validate({"near_duplicate": "mark"}), revises=True)
    assert [over_the_run.settle(refused, None, found, prompt=ASKED) for _ in "ab"] == [found, found]


def test_the_first_drop_comes_after_earlier_marks() -> None:
    cut = pair(answer("Cut", finish_reason="length"))
    found = findings(cut, FAR, {"truncated": "mark"})
    assert [(finding.reason, finding.action) for finding in found] == [
        ("chosen-truncated", MARK),
        ("length-ratio-above", DROP),
    ]


def test_length_ratio_marks_what_was_not_revised() -> None:
    assert findings(pair(), FAR, revises=False) == (Finding("length_ratio", MARK, "length-ratio-above", 4.8),)
    assert findings(pair(), FAR, revises=True) == (Finding("length_ratio", DROP, "length-ratio-above", 4.8),)


@pytest.mark.parametrize("contrast", [FAR, None])
def test_contrast_is_not_looked_at_without_a_chosen_answer(contrast: Contrast | None) -> None:
    assert findings(undecided(), contrast, ALL_BOUNDS) == (Finding("format", DROP, "no-solution-header", None),)


def test_contrast_filters_pass_a_pair_that_was_not_measured() -> None:
    assert findings(pair(), None, ALL_BOUNDS) == ()


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_that_is_off_finds_nothing(name: str) -> None:
    settings = {**ALL_BOUNDS, name: "off"}
    everything = pair(answer("", "length"), answer(""))
    nothing = undecided(answer(""), ParseStatus.BROKEN_JSON, unparsed=answer("{", "length"))
    found = (*findings(everything, FAR, settings), *findings(nothing, FAR, settings))
    assert name not in {finding.filter for finding in found}


def test_the_filters_on_texts_mark_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "eval.txt").write_text(ASKED[0].content, encoding="utf-8")
    dodge = pair(answer("I cannot help with that. The revised answer is short."), answer("The answer is 42."))
    found = findings(dodge, settings={"contamination": {"files": [str(tmp_path / "eval.txt")]}})
    assert [(finding.filter, finding.action, finding.reason) for finding in found] == [
        ("revision_mention", MARK, "mentions-revision"),
        ("lost_answer", MARK, "lost-answer"),
        ("refusal", MARK, "chosen-refuses"),
        ("contamination", MARK, "overlaps-evaluation"),
    ]


def test_revision_mention_and_lost_answer_look_only_at_revisions() -> None:
    dodge = pair(answer("The revised answer is short."), answer("The answer is 42."))
    assert [finding.filter for finding in findings(dodge)] == ["revision_mention", "lost_answer"]
    assert findings(dodge, revises=False) == ()


def test_an_absent_evaluation_stops_no_one_who_has_the_filter_off() -> None:
    assert findings(pair(), settings={"contamination": {"files": ["/absent.jsonl"], "action": "off"}}) == ()
    with pytest.raises(ConfigError, match="there is no evaluation file /absent"):
        findings(pair(), settings={"contamination": {"files": ["/absent.jsonl"]}})


def settling(action: str) -> Callable[[str, tuple[Finding, ...]], tuple[Finding, ...]]:
    over_the_run = RunFilters(FilterSettings.model_validate({"near_duplicate": action}), revises=True)
    return lambda task, found: over_the_run.settle(replace(pair(), task_id=task), USUAL, found, prompt=ASKED)


def test_near_duplicates_are_settled_over_the_run() -> None:
    assert findings(pair()) == ()
    over_the_run = settling("mark")
    assert over_the_run("a", ()) == ()
    assert over_the_run("b", ()) == (NEAR,)
    assert over_the_run("c", (replace(LONG, action=MARK),)) == (replace(LONG, action=MARK), NEAR)


def test_a_dropped_pair_is_no_near_duplicate_and_stands_for_none() -> None:
    over_the_run = settling("mark")
    assert over_the_run("dropped", (LONG,)) == (LONG,)
    assert over_the_run("a", ()) == ()
    assert over_the_run("b", (LONG,)) == (LONG,)
    assert over_the_run("c", ()) == (NEAR,)


def test_an_older_finding_of_a_near_duplicate_is_replaced() -> None:
    over_the_run = settling("mark")
    assert over_the_run("a", (replace(NEAR, value="gone"),)) == ()
    assert over_the_run("b", (replace(NEAR, value="gone", action=DROP),)) == (NEAR,)
    off = settling("off")
    assert [off(task, (NEAR,)) for task in "ab"] == [(), ()]


TRIPPING = (
    pair(answer("", finish_reason="length"), answer(" ")),
    pair(answer("I cannot help with that."), answer("The answer is 42.")),
    pair(answer("Here is the revised answer. <|im_end|> It is so."), answer("It is so.", finish_reason="odd")),
    pair(replace(answer("Better."), removed=("thinking",))),
    undecided(unparsed=answer("{teacher", finish_reason="length")),
)
SWITCHES = [
    *("truncated", "format", "empty", "identical", "embedded_markup", "revision_mention", "lost_answer", "refusal"),
    *("language", "removed_markup", "unknown_finish_reason"),
]
SETTINGS = st.builds(
    lambda actions, bounds: FilterSettings.model_validate(actions | bounds),
    st.dictionaries(st.sampled_from(SWITCHES), st.sampled_from(["drop", "mark", "off"])),
    st.sampled_from(
        [{}, ALL_BOUNDS, {"length_ratio": [0.5, 2.0]}, {"recipes": {"clair": {"refusal": "drop", "empty": "off"}}}]
    ),
)


@given(before=SETTINGS, now=SETTINGS, revises=st.booleans(), contrast=st.sampled_from([USUAL, FAR]))
def test_what_is_known_from_other_settings_is_what_would_be_found(
    before: FilterSettings, now: FilterSettings, revises: bool, contrast: Contrast
) -> None:
    then, again, anew = FilterPipeline(before), FilterPipeline(now, before), FilterPipeline(now)
    for one in TRIPPING:
        found = then.apply(one, contrast, revises=revises)
        assert again.apply(one, FAR, revises=revises, found=found) == anew.apply(one, FAR, revises=revises)
        assert again.apply(one, FAR, revises=revises) == anew.apply(one, FAR, revises=revises)


def test_only_options_that_are_the_same_let_a_filter_know_what_it_finds(tmp_path: Path) -> None:
    def known(before: Mapping[str, object], now: Mapping[str, object]) -> bool:
        """Whether the first of the filters in `now` repeats what it is told instead of looking."""
        settings = [FilterSettings.model_validate(written) for written in (before, now)]
        (name,) = now
        told = Finding(name, MARK, "told", None)
        return "told" in {one.reason for one in FilterPipeline(settings[1], settings[0]).apply(
            pair(), USUAL, revises=True, prompt=ASKED, found=[told]
        )}  # fmt: skip

    (tmp_path / "eval.txt").write_text("something else entirely, at some length", encoding="utf-8")
    files = {"contamination": {"files": [str(tmp_path / "eval.txt")]}}
    assert known({"refusal": "mark"}, {"refusal": "drop"})
    assert not known({"refusal": "off"}, {"refusal": "drop"})
    assert not known(files, files)  # the file may have changed
    assert not known({"jaccard": [1, 2]}, {"jaccard": [1, 2]})  # the pair may have been measured again
