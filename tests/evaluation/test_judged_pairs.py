"""Pairs of answers shown to a scripted judge in both orders: what is asked, what counts, and what is known of the judge after."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.role import Role
from clairgen.errors import ConfigError, InputError
from clairgen.evaluation.evaluate import EvaluationSummary, evaluate
from clairgen.evaluation.judged_figures import JudgedFigures
from clairgen.evaluation.judged_pairs import Opponent, comparison, given_difficulties, judge_evaluation
from clairgen.evaluation.labelled_pairs import read_labelled_pairs
from clairgen.evaluation.recorded_outputs import read_outputs, read_prompts
from clairgen.evaluation.results import compared, grouped
from clairgen.store import RunDirectory, reading
from tests.judges import JUDGE, Rule, likes_the_first_position, playing, shown
from tests.scripted import Reply, ScriptedEndpoint, said

Row = dict[str, Any]


def prefers_long(first: str, second: str) -> int:
    """The longer answer wins."""
    return 1 if len(first) > len(second) else 2


def prefers_good(first: str, second: str) -> int:
    """The answer that calls itself good wins, and the one that calls itself bad loses."""
    return 1 if "good" in first or "bad" in second else 2


def a_role(url: str, model: str = JUDGE) -> Role:
    return Role(model=model, endpoints=[url], temperature=0, max_tokens=100, concurrency=8)


def written(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prompt_rows(count: int) -> list[Row]:
    return [{"prompt": f"Question {number}?", "dataset": "odd" if number % 2 else "even"} for number in range(count)]


def outputs(path: Path, name: str, text: Callable[[int], str], count: int = 12) -> Path:
    rows = [{"instruction": f"Question {n}?", "output": text(n), "generator": name} for n in range(count)]
    return written(path / f"{name}.jsonl", rows)


async def recorded_comparison(
    tmp_path: Path, prefers: Rule, ours: Callable[[int], str]
) -> tuple[EvaluationSummary, int]:
    """12 recorded answers against `plain answer`, and how many requests the judge got."""
    prompts = read_prompts(written(tmp_path / "prompts.jsonl", prompt_rows(12)))
    model = read_outputs(outputs(tmp_path, "ours", ours))
    theirs = read_outputs(outputs(tmp_path, "theirs", lambda _: "plain answer"))
    async with ScriptedEndpoint(playing(prefers)) as endpoint:
        evaluation = comparison(
            "pairwise",
            prompts,
            model,
            Opponent(theirs.model, answers=theirs.to(prompts)),
            a_role(endpoint.url),
            label="ours",
            data="prompts.jsonl",
        )
        summary = await evaluate(evaluation, tmp_path / "run")
        asked = len(endpoint.asked)
        await evaluate(evaluation, tmp_path / "run")
        assert len(endpoint.asked) == asked, "a judged pair was judged again"
    return summary, asked


async def test_recorded_answers_are_shown_in_both_orders_and_score_by_part(tmp_path: Path) -> None:
    summary, asked = await recorded_comparison(tmp_path, prefers_good, lambda n: "good one" if n % 2 else "bad one")
    figures = JudgedFigures(summary.result)
    assert asked == 24
    assert figures.preferred.mean == 0.5
    assert {part: share.mean for part, share in summary.result.parts.items()} == {"even": 0.0, "odd": 1.0}
    assert figures.outcomes == {"won": 6, "lost": 6}
    assert figures.flipped.mean == 0.0
    assert figures.first_position.mean == 0.5


async def test_a_judge_that_follows_the_position_ties_everything_and_is_seen_to(tmp_path: Path) -> None:
    summary, _ = await recorded_comparison(tmp_path, likes_the_first_position, lambda n: f"answer {n}")
    figures = JudgedFigures(summary.result)
    assert figures.preferred.mean == 0.5
    assert figures.outcomes == {"tie-between-orders": 12}
    assert (figures.flipped.mean, figures.flipped.n) == (1.0, 12)
    assert figures.first_position.mean == 1.0
    assert figures.first_position.low is not None and figures.first_position.low > 0.5


async def test_verdicts_that_cannot_be_read_are_counted_by_name_and_have_no_score(tmp_path: Path) -> None:
    summary, _ = await recorded_comparison(
        tmp_path,
        lambda first, second: 0 if "unclear" in first + second else 1,
        lambda n: "unclear" if n < 3 else "clear",
    )
    assert summary.result.unscored == {("unreadable", "no-verdict"): 3}
    assert summary.result.overall.n == 9
    assert JudgedFigures(summary.result).verdicts == {"no-verdict": 6, "ok": 18}


async def test_the_same_text_is_a_tie_without_a_request(tmp_path: Path) -> None:
    summary, asked = await recorded_comparison(tmp_path, prefers_good, lambda n: "plain answer" if n < 6 else "good")
    assert asked == 12
    assert JudgedFigures(summary.result).outcomes == {"same-text": 6, "won": 6}


async def test_two_models_are_asked_and_their_answers_judged(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == JUDGE:
            return said(f"[{prefers_good(*shown(prompt))}]")
        return said(f"{prompt} {'good' if request['model'] == 'ours' else 'plain'}", finish_reason="length")

    prompts = read_prompts(written(tmp_path / "prompts.jsonl", prompt_rows(4)))
    async with ScriptedEndpoint(script) as endpoint:
        evaluation = comparison(
            "pairwise", prompts, a_role(endpoint.url, "ours"), Opponent("theirs", role=a_role(endpoint.url, "theirs")),
            a_role(endpoint.url), label="ours", data="prompts.jsonl",
        )  # fmt: skip
        result = (await evaluate(evaluation, tmp_path / "run")).result
        assert len(endpoint.asked) == 16
    figures = JudgedFigures(result)
    assert figures.preferred.mean == 1.0
    assert figures.cut_off == {"answer": 4, "opponent": 4}
    assert result.items[0].detail["answer"] == "Question 0? good"
    assert [role for role, _ in result.items[0].requests] == ["target", "opponent", "judge", "judge"]


async def test_results_of_two_judges_are_two_evaluations_and_are_not_compared(tmp_path: Path) -> None:
    prompts = read_prompts(written(tmp_path / "prompts.jsonl", prompt_rows(4)))
    model = read_outputs(outputs(tmp_path, "ours", lambda n: f"good {n}"))
    results = []
    async with ScriptedEndpoint(lambda _: said("[1]")) as endpoint:
        for judge in ("judge-one", "judge-two"):
            evaluation = comparison(
                "pairwise", prompts, model, Opponent("plain", answers=["plain"] * 4), a_role(endpoint.url, judge),
                label="ours", data="prompts.jsonl",
            )  # fmt: skip
            results.append((await evaluate(evaluation, tmp_path / "run")).result)
    assert [JudgedFigures(result).judge["model"] for result in results] == ["judge-one", "judge-two"]
    assert results[0].record.id != results[1].record.id
    with pytest.raises(InputError, match="not scored by the same judge"):
        compared(*results)


async def test_two_models_recorded_answers_are_compared_pair_by_pair(tmp_path: Path) -> None:
    prompts = read_prompts(written(tmp_path / "prompts.jsonl", prompt_rows(12)))
    results = []
    async with ScriptedEndpoint(playing(prefers_good)) as endpoint:
        for name, good in (("before", 3), ("after", 9)):
            model = read_outputs(outputs(tmp_path, name, lambda n, good=good: "good" if n < good else "bad"))  # type: ignore[misc]
            evaluation = comparison(
                "pairwise", prompts, model, Opponent("plain", answers=["plain"] * 12), a_role(endpoint.url),
                label=name, data="prompts.jsonl",
            )  # fmt: skip
            results.append((await evaluate(evaluation, tmp_path / "run")).result)
    difference = compared(*results).overall
    assert (difference.mean, difference.n) == (0.5, 12)


async def test_two_snapshots_of_a_judge_are_never_in_one_column(tmp_path: Path) -> None:
    prompts = read_prompts(written(tmp_path / "prompts.jsonl", prompt_rows(4)))
    results = []
    async with ScriptedEndpoint(lambda _: named("judge-0125")) as endpoint:
        for name, snapshot in (("before", "judge-0125"), ("between", "judge-0125"), ("after", "judge-0409")):
            endpoint.script = lambda _, snapshot=snapshot: named(snapshot)  # type: ignore[misc]
            model = read_outputs(outputs(tmp_path, name, lambda n, name=name: f"{name} {n}"))  # type: ignore[misc]
            evaluation = comparison(
                "pairwise", prompts, model, Opponent("plain", answers=["plain"] * 4), a_role(endpoint.url),
                label=name, data="prompts.jsonl",
            )  # fmt: skip
            results.append((await evaluate(evaluation, tmp_path / "run")).result)
    assert [len(group) for group in grouped(results)] == [2, 1]
    assert compared(*results[:2]).overall.n == 4
    with pytest.raises(InputError, match=r"by other snapshots \(judge-0125; judge-0409\)"):
        compared(results[0], results[2])


def named(snapshot: str) -> Reply:
    content = json.loads(said("[1]").body) | {"model": snapshot, "system_fingerprint": "fp_7"}
    return Reply(json.dumps(content).encode(), headers={"content-type": "application/json"})


async def test_what_the_judges_server_calls_its_snapshot_is_kept(tmp_path: Path) -> None:
    labelled = read_labelled_pairs(written(tmp_path / "labelled.jsonl", rewardbench(2)))
    async with ScriptedEndpoint(lambda _: named("judge-0125")) as endpoint:
        evaluation = judge_evaluation(labelled, a_role(endpoint.url), label=JUDGE, data="labelled.jsonl")
        result = (await evaluate(evaluation, tmp_path / "run")).result
    async with reading(RunDirectory(tmp_path / "run")) as store:
        completion = await store.completions.find(result.items[0].requests[0][1])
    assert completion is not None
    assert (completion.served_model, completion.system_fingerprint) == ("judge-0125", "fp_7")
    assert JudgedFigures(result).served == {"judge-0125 fp_7": 6}


def rewardbench(count: int) -> list[Row]:
    """Rows of RewardBench 2's form: one right answer, three wrong ones, which are longer in every second row."""
    return [
        {
            "id": str(number),
            "prompt": f"Question {number}?",
            "chosen": [f"good {number}" + " indeed" * (0 if number % 2 else 9)],
            "rejected": [f"bad {number} {letter}" + " of course" * (5 if number % 2 else 0) for letter in "abc"],
            "subset": "Math" if number < count / 2 else "Focus",
        }
        for number in range(count)
    ]


async def judged(tmp_path: Path, rows: list[Row], prefers: Rule) -> JudgedFigures:
    labelled = read_labelled_pairs(written(tmp_path / "labelled.jsonl", rows))
    async with ScriptedEndpoint(playing(prefers)) as endpoint:
        evaluation = judge_evaluation(labelled, a_role(endpoint.url), label=JUDGE, data="labelled.jsonl")
        return JudgedFigures((await evaluate(evaluation, tmp_path / "run")).result)


async def test_a_judge_that_is_always_right_has_no_bias(tmp_path: Path) -> None:
    figures = await judged(tmp_path, rewardbench(20), prefers_good)
    assert (figures.preferred.mean, figures.preferred.n, figures.preferred.clusters) == (1.0, 60, 20)
    assert figures.every_pair_right is not None
    assert (figures.every_pair_right.mean, figures.every_pair_right.n) == (1.0, 20)
    assert (figures.where_longer.mean, figures.where_shorter.mean, figures.first_position.mean) == (1.0, 1.0, 0.5)
    assert {part: share.n for part, share in figures.result.parts.items()} == {"Math": 30, "Focus": 30}


async def test_a_judge_that_only_measures_lengths_is_right_only_where_the_better_is_longer(tmp_path: Path) -> None:
    figures = await judged(tmp_path, rewardbench(20), prefers_long)
    assert (figures.preferred.mean, figures.where_longer.mean, figures.where_shorter.mean) == (0.5, 1.0, 0.0)
    assert (figures.longer_preferred.mean, figures.longer_preferred.n) == (1.0, 60)
    assert figures.controlled.problem is not None
    assert figures.every_pair_right is not None and figures.every_pair_right.mean == 0.5


async def test_another_prompt_of_the_judge_is_another_evaluation(tmp_path: Path) -> None:
    labelled = read_labelled_pairs(written(tmp_path / "labelled.jsonl", rewardbench(2)))
    own = tmp_path / "own.txt"
    own.write_text("{{task}}: {{student_solution_1}} or {{student_solution_2}}?")
    ids = []
    async with ScriptedEndpoint(lambda _: said("[1]")) as endpoint:
        for template in ("judge", str(own)):
            evaluation = judge_evaluation(labelled, a_role(endpoint.url), label=JUDGE, data="l", template=template)
            ids.append((await evaluate(evaluation, tmp_path / "run")).result.record.id)
        assert endpoint.asked[-1]["messages"][-1]["content"].endswith("?")
    assert ids[0] != ids[1]
    own.write_text("{{task}}")
    with pytest.raises(ConfigError, match="must have exactly the slots"):
        judge_evaluation(labelled, a_role(endpoint.url), label=JUDGE, data="l", template=str(own))


async def test_rows_without_a_better_answer_are_kept_in_the_evaluation_by_name(tmp_path: Path) -> None:
    rows = [
        *rewardbench(4),
        {"id": "t", "prompt": "Name a prime.", "chosen": ["2", "3"], "rejected": ["4"], "subset": "Ties"},
        {"id": "s", "prompt": "Say hello.", "chosen": ["Hello."], "rejected": ["Hello. "], "subset": "Focus"},
    ]
    figures = await judged(tmp_path, rows, prefers_good)
    assert figures.left_out == {"identical-answers": 1, "several-right-answers": 1}


def test_difficulties_come_from_a_column(tmp_path: Path) -> None:
    rows = [row | {"instruction_difficulty": number / 2} for number, row in enumerate(prompt_rows(3))]
    assert given_difficulties(read_prompts(written(tmp_path / "prompts.jsonl", rows))) == [0.0, 0.5, 1.0]
    assert given_difficulties(read_prompts(written(tmp_path / "none.jsonl", prompt_rows(3)))) is None
    rows[1]["instruction_difficulty"] = "hard"
    with pytest.raises(InputError, match=r"`instruction_difficulty` of prompts\.jsonl line 2 is not a number"):
        given_difficulties(read_prompts(written(tmp_path / "prompts.jsonl", rows)))
