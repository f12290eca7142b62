"""The page of evaluations: its figures, what it shows of many items, and that it needs no script."""

import re
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.role import Role
from clairgen.errors import InputError
from clairgen.evaluation.checkable_questions import CheckableQuestion, evaluate_questions
from clairgen.evaluation.results import load_results
from clairgen.evaluation.results_page import MOST_SHOWN, write_results_page
from tests.reporting.html.test_browser import HOSTILE
from tests.scripted import Reply, ScriptedEndpoint, refused, said

TEXT = HOSTILE.replace("\ud800", "").replace("\x00", "")
WITHOUT_DIGITS = re.sub(r"\d", "", TEXT)


async def written(folder: Path, questions: list[CheckableQuestion], *labels: str) -> Path:
    """The page of models of which each knows two answers less than the one before; the second one refuses the first question."""

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        number, at = int(re.findall(r"\d+", prompt)[0]), int(request["model"])
        if number == 0 and at == 1:
            return refused(400, TEXT, "content_policy_violation")
        return said(f"It is {number if number >= 2 * at else 'unknown'} {WITHOUT_DIGITS}")

    async with ScriptedEndpoint(script) as endpoint:
        for at, label in enumerate(labels):
            role = Role(model=str(at), endpoints=[endpoint.url], temperature=0, max_tokens=9, concurrency=8)
            await evaluate_questions(questions, role, folder / "run", label=label, data=f"data {TEXT}")
    page = folder / "page.html"
    await write_results_page(page, folder / "run", await load_results(folder / "run"))
    return page


def numbered(count: int) -> list[CheckableQuestion]:
    return [
        CheckableQuestion(f"{number}? {TEXT}", number, "numeric", f"part {number % 2} {TEXT}")
        for number in range(count)
    ]


async def test_the_page_has_the_figures_and_what_differs_first(tmp_path: Path) -> None:
    html = (await written(tmp_path, numbered(6), "first", "second", "third")).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "script-src" not in html
    shown = re.sub(r"<[^>]+>", " ", html)
    assert "1 failed: content-policy" in shown
    assert "1 scored 0: no-number" in shown
    assert "4 scored 0: no-number" in shown
    assert "4 items came out differently; those stand first" in shown
    assert html.count("<circle") == 3
    rows = [
        " ".join(row.split()) for row in re.findall(r"(?:second|third) .*? (?=second|third|Answers)", shown, re.DOTALL)
    ]
    assert any(row.startswith("second 5 -20.0 ") and row.endswith(" 1 0") for row in rows), rows
    items = re.findall(r'<summary><span class="head">(\d)\?', html)
    assert set(items[:4]) == {"0", "1", "2", "3"}
    assert len(items) == 6


async def test_a_large_evaluation_is_a_sample_on_the_page(tmp_path: Path) -> None:
    questions = [CheckableQuestion(f"{number}?", number, "numeric") for number in range(MOST_SHOWN + 40)]
    html = (await written(tmp_path, questions, "one")).read_text(encoding="utf-8")
    assert html.count("<details") == MOST_SHOWN
    assert f"{MOST_SHOWN} of {MOST_SHOWN + 40} items are shown" in html
    assert "came out differently" not in html


async def test_a_directory_without_evaluations_has_a_page_too_and_a_bad_path_is_one_sentence(tmp_path: Path) -> None:
    page = await written(tmp_path, numbered(1), "one")
    await write_results_page(page, tmp_path / "run", [])
    assert "There is no evaluation yet." in page.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        await write_results_page(tmp_path / "none" / "page.html", tmp_path / "run", [])
