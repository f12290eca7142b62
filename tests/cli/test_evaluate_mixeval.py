"""`clairgen evaluate mixeval-hard` over scripted models: what is printed, kept and refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Done, clairgen
from tests.scripted import Reply, ScriptedEndpoint, refused, said

JUDGED = "Which of these is number "


def script(request: dict[str, Any]) -> Reply:
    """Of ten questions of each split the judge grades or reads all but the first, and the model is refused the last."""
    prompt = request["messages"][-1]["content"]
    number = int(prompt.partition(JUDGED)[2].split("?")[0])
    if request["model"] != "judge":
        return refused(400, "too long", "context_length_exceeded") if number == 9 else said(f"number {number}")
    if number == 0:
        return said("I cannot tell.")
    return said("So it is [[A]], not [[B]]." if "Options:" in prompt else f"So it is [[{number / 10}]].")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Both files of a version; every question stands in two rows."""
    common = {"context": None, "benchmark_name": "AGIEval"}
    free_form, multiple_choice = {}, {}
    for row in range(20):
        prompt = {"prompt": f"{JUDGED}{row % 10}?"}
        free_form[str(row)] = {"problem_type": "free-form", "target": ["it"], **prompt, **common}
        choices = {"options": ["this", "that"], "target": [row % 10 % 2]}
        multiple_choice[str(row)] = {"problem_type": "multiple-choice", **choices, **prompt, **common}
    paths = [tmp_path / "free-form.json", tmp_path / "multiple-choice.json"]
    for path, content in zip(paths, (free_form, multiple_choice), strict=True):
        path.write_text(json.dumps(content))
    return paths


async def evaluated(url: str, files: list[Path], *more: str) -> Done:
    models = ("--endpoint", url, "--model", "small", "--judge-endpoint", url, "--judge-model", "judge")
    run = files[0].parent / "run"
    return await clairgen("evaluate", "mixeval-hard", *files, "--run", run, *models, *more)


async def test_the_table_has_splits_benchmarks_and_what_is_left_open(files: list[Path]) -> None:
    async with ScriptedEndpoint(script) as endpoint:
        done = await evaluated(endpoint.url, files)
        asked = len(endpoint.asked)
        again = await evaluated(endpoint.url, files)
        assert len(endpoint.asked) == asked == 20 + 18
    assert (done.code, again.code) == (1, 1)
    assert again.out == done.out
    table = {line.split()[0]: line.split() for line in done.out.splitlines()[2:6]}
    assert table["overall"] == ["overall", "32", "of", "40", "47.5", "29.0-66.8", "4", "4", "38.0-58.0"]
    assert table["free-form"][1:5] == ["16", "of", "20", "45.0"]
    assert table["multiple-choice"][1:5] == ["16", "of", "20", "50.0"]
    assert table["AGIEval"][1:5] == ["32", "of", "40", "47.5"]
    for sentence in (
        "small: MixEval-Hard on free-form.json, multiple-choice.json, judged by judge. Intervals are 95% ",
        "and count 20 distinct questions in 40 rows:",
        "Judge unreadable: 4 rows of 40 (10.0%): 2 no-grade, 2 no-option.",
        "Failed: 4 rows of 40 (10.0%): 4 context-overflow of the model.",
        "Were all of them wrong, the score would be 38.0%, were all right, 58.0%.",
        "So many rows have no score that the score says little; take the bounds, or another judge.",
        "it would give 47.8% on average.",
        "16 replies of the judge with several values; the first one counts.",
    ):
        assert sentence in done.out
    assert "--retry-failed" in done.out


async def test_every_figure_is_in_the_object(files: list[Path]) -> None:
    async with ScriptedEndpoint(script) as endpoint:
        found = json.loads((await evaluated(endpoint.url, files, "--json")).out)
    shown = await clairgen("evaluate", "show", files[0].parent / "run", "--json")
    overall = found["table"][0]
    assert (overall["items"], overall["questions"], overall["unreadable"], overall["failed"]) == (40, 20, 4, 4)
    assert overall["upstream"] == pytest.approx((0.475 * 32 + 2 * 0.5 + 2 * 0.5) / 36)
    assert json.loads(shown.out) == [found]


async def test_a_table_of_evaluations_and_its_page_say_what_is_left_open(files: list[Path]) -> None:
    run = files[0].parent / "run"
    async with ScriptedEndpoint(script) as endpoint:
        await evaluated(endpoint.url, files)
    shown = await clairgen("evaluate", "show", run, "--html", run.parent / "page.html")
    page = (run.parent / "page.html").read_text()

    assert "small: Judge unreadable: 4 rows of 40" in shown.out
    assert "several values" not in shown.out
    assert "Were all of them wrong, the score would be 38.0%" in page
    assert "16 replies of the judge with several values" in page


async def test_nothing_is_requested_in_a_dry_run(files: list[Path]) -> None:
    async with ScriptedEndpoint(script) as endpoint:
        done = await evaluated(endpoint.url, files, "--dry-run", "--limit", "20")
        assert endpoint.asked == []
    assert done.code == 0
    assert "20 questions, 0 done already" in done.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--endpoint", "http://127.0.0.1:9/v1", "--model", "m"), "name a judge: --config FILE with models.judge"),
        (("--judge-endpoint", "http://127.0.0.1:9/v1", "--judge-model", "j"), "name the model to evaluate"),
        (("--base", "before"), "--base is what the change of --checkpoints is from"),
    ],
)
async def test_what_is_missing_is_said_in_one_sentence(files: list[Path], more: tuple[str, ...], says: str) -> None:
    done = await clairgen("evaluate", "mixeval-hard", *files, "--run", files[0].parent / "run", *more)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
