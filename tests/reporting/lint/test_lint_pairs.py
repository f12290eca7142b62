"""Lint from a source to a report: every row counted, every shape read as import reads it, figures with their intervals."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.errors import ConfigError, InputError
from clairgen.pipeline.generate import generate
from clairgen.pipeline.import_pairs import import_pairs
from clairgen.reporting.lint.findings import LintReport
from clairgen.reporting.lint.lint_pairs import lint
from clairgen.reporting.lint.rules import RULES, Severity
from clairgen.reporting.shortcut_audit import auc_interval
from tests.runs import config, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint
from tests.test_pair_shapes import SHAPES

WORDS = (
    "the",
    "river",
    "rises",
    "in",
    "hills",
    "and",
    "turns",
    "north",
    "at",
    "an",
    "old",
    "mill",
    "where",
    "water",
    "meets",
)


def written(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def text(draw: random.Random, sentences: int) -> str:
    return " ".join(f"{' '.join(draw.choices(WORDS, k=9)).capitalize()}." for _ in range(sentences))


def rows(count: int, *, more: int = 0, seed: int = 1) -> list[dict[str, str]]:
    """Rows whose chosen answers have `more` sentences than the rejected ones; without, every second one is the longer."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        length = draw.randint(2, 6)
        answers = [text(draw, length + more), text(draw, length)]
        if not more:
            answers.sort(key=len, reverse=number % 2 == 0)
        made.append({"prompt": f"{number}: {text(draw, 1)}", "chosen": answers[0], "rejected": answers[1]})
    return made


def rules(report: LintReport) -> set[str]:
    return {finding.rule for finding in report.findings}


@pytest.mark.parametrize("name", SHAPES)
async def test_every_usual_shape_is_linted(name: str, tmp_path: Path) -> None:
    begins, content = SHAPES[name]
    report = await lint(written(tmp_path / "data.jsonl", content))
    assert (report.rows, report.pairs, report.left_out) == (len(content), 1, ())
    assert report.parts[0].understood.startswith(begins)
    assert report.count(Severity.ERROR) == report.count(Severity.WARNING) == 0


async def test_sound_pairs_have_no_finding_and_every_rule_is_accounted_for(tmp_path: Path) -> None:
    report = await lint(written(tmp_path / "data.jsonl", rows(60)))
    assert report.findings == ()
    assert {*report.passed, *report.not_looked} == RULES.keys()
    assert repr(report) == "<LintReport of data.jsonl: 60 pairs, 0 errors, 0 warnings, 0 notes>"


async def test_a_length_cue_is_named_with_its_interval_and_n(tmp_path: Path) -> None:
    report = await lint(written(tmp_path / "data.jsonl", rows(60, more=3)))
    lengths, cues = report["length-bias"], report["surface-cues"]
    assert (lengths.count, lengths.n, lengths.severity) == (60, 60, Severity.WARNING)
    assert lengths.sides == {"chosen longer": 60, "rejected longer": 0}
    assert lengths.measured is not None
    assert lengths.measured.value == pytest.approx(lengths.measured.high) == 1.0
    assert 0.93 < lengths.measured.low < 0.95
    assert cues.measured is not None
    assert cues.measured.low > 0.8
    assert cues.measured.details[0].startswith(("characters, more in chosen: AUC alone", "words, more in chosen"))
    assert (cues.count, cues.share, cues.n) == (None, None, 60)


async def test_the_cues_are_those_of_the_report_on_the_same_pairs_imported(tmp_path: Path) -> None:
    path = written(tmp_path / "data.jsonl", rows(60, more=1))
    await import_pairs(str(path), tmp_path / "run")
    [report] = await api.report(tmp_path / "run")
    cues = (await lint(path))["surface-cues"].measured
    assert report.audit is not None
    assert cues is not None
    assert (cues.value, cues.low, cues.high) == (report.audit.auc, *report.audit.interval)


async def test_pairs_of_one_prompt_count_as_one_for_the_interval_of_the_cues(tmp_path: Path) -> None:
    content = [row | {"prompt": f"{number // 3}: Why?"} for number, row in enumerate(rows(60, more=1))]
    path = written(tmp_path / "data.jsonl", content)
    cues = (await lint(path))["surface-cues"].measured
    assert cues is not None
    assert (cues.low, cues.high) == auc_interval(cues.value, 20)
    [report] = await api.report(path)
    assert report.audit is not None
    assert (report.audit.n, report.audit.interval) == (60, (cues.low, cues.high))


async def test_the_cues_go_by_prompts_whatever_the_source_calls_them(tmp_path: Path) -> None:
    same = [{**row, "prompt": "Where?", "id": str(number)} for number, row in enumerate(rows(40, more=3))]
    report = await lint(written(tmp_path / "same.jsonl", same))
    assert "surface-cues" not in rules(report) | set(report.passed)
    assert report.not_looked["surface-cues"] == "the pairs are of fewer than 10 prompts"
    different = [{**row, "id": "one"} for row in rows(40, more=3)]
    assert "surface-cues" in rules(await lint(written(tmp_path / "different.jsonl", different)))


async def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "pairs.jsonl", [*rows(1), {"prompt": "q", "chosen": None, "rejected": ""}])
    report = await lint(tmp_path / "a/pairs.jsonl", tmp_path / "b/pairs.jsonl")
    [example] = report["prompt-in-several-splits"].examples
    assert (example.where, example.other) == (f"{tmp_path}/b/pairs.jsonl line 1", f"{tmp_path}/a/pairs.jsonl line 1")
    assert [part.name for part in report.parts] == [f"{tmp_path}/a/pairs.jsonl", f"{tmp_path}/b/pairs.jsonl"]


async def test_a_small_bias_of_many_pairs_is_a_note(tmp_path: Path) -> None:
    content = [
        {"prompt": f"{number}: why?", "chosen": "Yes!!" if number % 100 < 53 else "Yes", "rejected": "No!!"}
        for number in range(3000)
    ]
    report = await lint(written(tmp_path / "data.jsonl", content))
    assert report["length-bias"].severity is Severity.NOTE
    assert report["length-bias"].count == 1590


async def test_each_planted_fault_is_counted_where_it_is(tmp_path: Path) -> None:
    content = rows(40)
    content[3]["chosen"] = ""
    content[4]["rejected"] = content[4]["chosen"]
    content[5]["rejected"] = f"<think>Hm.</think>{content[5]['rejected']}"
    content[6]["chosen"] += "<|eot_id|>"
    content[7]["chosen"] = "I cannot assist with that request."
    content[8]["rejected"] = f" {content[8]['rejected']}"
    content += [content[9], {**content[10], "chosen": content[10]["rejected"], "rejected": content[10]["chosen"]}]
    content.append({**content[11], "chosen": "It is elsewhere."})
    report = await lint(written(tmp_path / "data.jsonl", content))
    faults = ("empty", "identical", "thinking", "control-tokens", "refusal", "space-on-one-side")
    repeats = ("repeated-pairs", "swapped-pairs", "repeated-prompts")
    assert rules(report) == {*faults, *repeats}
    assert all((one.count, one.n) == (1, 43) for one in report.findings)
    assert [report[name].examples[0].where for name in faults] == [f"data.jsonl line {line}" for line in range(4, 10)]
    assert [(report[name].examples[0].where, report[name].examples[0].other) for name in repeats] == [
        ("data.jsonl line 41", "data.jsonl line 10"),
        ("data.jsonl line 42", "data.jsonl line 11"),
        ("data.jsonl line 43", "data.jsonl line 12"),
    ]
    assert [one.severity for one in report.findings] == sorted(
        (one.severity for one in report.findings), key=list(Severity).index
    )
    assert report["thinking"].sides == {"chosen": 0, "rejected": 1}


async def test_rows_without_a_pair_are_counted_by_reason(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [{"prompt": "Why?", "chosen": None, "rejected": "b"}] * 2
    path = written(tmp_path / "data.jsonl", [*rows(3), *bad])
    path.write_text(path.read_text() + "{torn\n")
    report = await lint(path)
    assert (report.rows, report.pairs) == (6, 3)
    assert [(one.count, one.first) for one in report.left_out] == [(2, "data.jsonl line 4"), (1, "data.jsonl line 6")]
    assert "has no `chosen`" in report.left_out[0].why
    assert "not valid JSON" in report.left_out[1].why
    assert (report["rows-without-a-pair"].count, report["rows-without-a-pair"].n) == (3, 6)
    assert report["rows-without-a-pair"].severity is Severity.WARNING


async def test_prompts_that_two_files_share_leak(tmp_path: Path) -> None:
    train, test = rows(30), rows(10, seed=2)
    test[0] = {**train[5], "prompt": train[5]["prompt"].upper(), "chosen": "Elsewhere."}
    long = " ".join(f"w{number}" for number in range(50))
    train[6]["prompt"], test[1]["prompt"] = f"{long} one", f"{long} two"
    report = await lint(written(tmp_path / "train.jsonl", train), written(tmp_path / "test.jsonl", test))
    leak, near = report["prompt-in-several-splits"], report["near-duplicates-across-splits"]
    assert (leak.count, leak.n, leak.severity) == (1, 10, Severity.ERROR)
    assert (leak.examples[0].where, leak.examples[0].other) == ("test.jsonl line 1", "train.jsonl line 6")
    assert near.examples[0].where == "test.jsonl line 2"
    assert [(part.name, part.pairs) for part in report.parts] == [("train.jsonl", 30), ("test.jsonl", 10)]


async def test_a_folder_is_linted_with_what_is_held_out_from_its_training_split(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    splits = {name: Dataset.from_list(rows(3)) for name in ("train_prefs", "test_prefs", "test_sft")}
    DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    report = await lint(tmp_path / "saved")
    assert [part.name for part in report.parts] == ["saved train_prefs", "saved test_prefs"]
    assert report["prompt-in-several-splits"].count == 3
    assert report.other_splits == ("test_sft",)
    alone = await lint(tmp_path / "saved", splits=["test_sft"])
    assert [part.name for part in alone.parts] == ["saved test_sft"]
    assert "others are train_prefs, test_prefs" in alone.not_looked["prompt-in-several-splits"]
    with pytest.raises(InputError, match="has no split 'dev'; it has"):
        await lint(tmp_path / "saved", splits=["train_prefs", "dev"])


async def test_evaluation_files_are_compared_by_runs_of_words(tmp_path: Path) -> None:
    item = " ".join(f"w{number}" for number in range(20))
    content = rows(5)
    content[2]["prompt"] = f"Answer this: {item} and more"
    path, evaluation = written(tmp_path / "data.jsonl", content), written(tmp_path / "eval.jsonl", [{"question": item}])
    report = await lint(path, against=[evaluation])
    assert (report["evaluation-overlap"].count, report["evaluation-overlap"].n) == (1, 5)
    assert report["evaluation-overlap"].examples[0].shown.startswith("eval.jsonl (")
    assert "evaluation-overlap" in (await lint(path, against=[evaluation], ngram=21)).passed
    with pytest.raises(ConfigError, match=r"there is no evaluation file .*; check --against"):
        await lint(path, against=[tmp_path / "absent.jsonl"])


@pytest.mark.parametrize(
    ("beside", "rule"),
    [
        ({"fine-grained_score": 1.25}, "false-tens"),
        ({"annotations": {"honesty": {"Rating": "1"}, "helpfulness": {"Rating": "2"}}}, "false-tens"),
        ({"fine-grained_score": 4.75}, None),
        ({}, "unchecked-tens"),
    ],
)
async def test_tens_are_checked_by_the_ratings_beside_them(
    beside: Mapping[str, Any], rule: str | None, tmp_path: Path
) -> None:
    content = [
        {
            "instruction": row["prompt"],
            "completions": [
                {"response": row["chosen"], "overall_score": 10.0, **beside},
                {"response": row["rejected"], "overall_score": 7.0, **({"fine-grained_score": 4.0} if beside else {})},
                {"response": "Hm.", "overall_score": 2.0, **({"fine-grained_score": 1.0} if beside else {})},
            ],
        }
        for row in rows(4)
    ]
    report = await lint(written(tmp_path / "data.jsonl", content))
    assert {"false-tens", "unchecked-tens"} & rules(report) == ({rule} if rule else set())
    if rule:
        assert (report[rule].count, report[rule].n) == (4, 4)


async def test_tens_of_the_binarized_form_cannot_be_checked(tmp_path: Path) -> None:
    content = [
        row | {"score_chosen": 10.0 if number else 8.0, "score_rejected": 3.0} for number, row in enumerate(rows(3))
    ]
    report = await lint(written(tmp_path / "data.jsonl", content))
    assert (report["unchecked-tens"].count, report["unchecked-tens"].severity) == (2, Severity.NOTE)
    (tmp_path / "data.csv").write_text("prompt,chosen,rejected,score_chosen,score_rejected\nq,a,b,10,3\n")
    assert (await lint(tmp_path / "data.csv"))["unchecked-tens"].count == 1


async def test_answers_with_other_scores_have_no_tens_to_check(tmp_path: Path) -> None:
    ranked = {"prompt": "q", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]}
    report = await lint(written(tmp_path / "data.jsonl", [ranked]))
    assert report.not_looked["false-tens"] == "the rows have no such scores"


async def test_the_kept_pairs_of_a_run_are_linted_as_what_is_exported(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(6)), tmp_path / "run"
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), run)
    with pytest.raises(InputError, match=r"has the recipes clair, stronger-preferred; name one with --recipe"):
        await lint(run)
    report = await lint(run, recipe="clair")
    assert (report.rows, report.pairs) == (6, 6)
    assert report["length-bias"].count == 6
    assert "seems-cut-off" in report.passed
    with pytest.raises(InputError, match="has no recipe 'other'"):
        await lint(run, recipe="other")
    with pytest.raises(InputError, match="leave these options out"):
        await lint(run, recipe="clair", splits=["train"])


async def test_pairs_that_a_run_drops_are_counted_by_the_filter(tmp_path: Path) -> None:
    content = rows(5)
    content[1]["chosen"] = content[1]["rejected"]
    path, run = written(tmp_path / "data.jsonl", content), tmp_path / "run"
    await import_pairs(str(path), run)
    report = await lint(run)
    assert (report.rows, report.pairs) == (5, 4)
    assert [(one.count, one.why) for one in report.left_out] == [(1, "it is not kept: identical")]
    assert "rows-without-a-pair" in report.passed
    assert (await lint(path))["identical"].count == 1


async def test_the_same_data_give_the_same_report(tmp_path: Path) -> None:
    path = written(tmp_path / "data.jsonl", rows(40, more=1))
    assert (await lint(path)).to_json() == (await lint(path)).to_json()


@pytest.mark.parametrize(
    ("sources", "said"),
    [((), "there is nothing to look at"), (("absent.jsonl",), "no file or folder absent.jsonl")],
)
async def test_what_cannot_be_read_is_one_sentence(sources: Sequence[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        await lint(*sources)


async def test_an_empty_file_and_a_recipe_of_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no rows that can be read"):
        await lint(written(tmp_path / "data.jsonl", []))
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match=r"nothing to look at \(data\.jsonl line 1: it is not UTF-8"):
        await lint(path)
    with pytest.raises(InputError, match="is no run, so it has no recipe 'clair'"):
        await lint(written(tmp_path / "data.jsonl", rows(1)), recipe="clair")


async def test_a_source_without_any_pair_has_a_report_of_its_reasons(tmp_path: Path) -> None:
    report = await lint(written(tmp_path / "data.jsonl", [{"prompt": "a", "chosen": None, "rejected": "b"}]))
    assert (report.pairs, report.left_out[0].count) == (0, 1)
    assert [(one.rule, one.severity) for one in report.findings] == [("rows-without-a-pair", Severity.ERROR)]
