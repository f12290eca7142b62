"""`clairgen report --html` from a run's own store, with hostile text wherever text can come from."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.cli.commands import clairgen
from tests.reporting.html.browser import needs_browser, opened
from tests.runs import config_text, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

pytestmark = needs_browser

ATTACK = "<img src=x onerror=alert(1)><script>alert(2)</script>\x1b]0;owned\x07\u202e"


def hostile(request: dict[str, Any]) -> Reply:
    prompt = request["messages"][-1]["content"]
    if "student_solution" in prompt:
        return said(f"{{teacher_reasoning}}: {ATTACK}\n\n{{corrected_student_solution}}: {ATTACK} better")
    return said(f"An answer of some length {ATTACK}")


async def test_a_run_full_of_hostile_text_makes_a_harmless_page(tmp_path: Path, chromium: Page) -> None:
    run, file = tmp_path / "<script>alert(3)<", tmp_path / "<b>page.html"
    tasks = write_tasks(tmp_path / "tasks.jsonl", [f"Question {number} {ATTACK}" for number in range(12)])
    async with ScriptedEndpoint(hostile) as endpoint:
        model = "<svg onload=alert(4)>"
        (tmp_path / "config.yaml").write_text(
            config_text(endpoint.url, tasks, recipes=["clair"], reviser={"model": model})
        )
        made = await clairgen("generate", tmp_path / "config.yaml", "--run", run)
        assert made.code == 0, made
    done = await clairgen("report", run, "--html", file)
    assert done.code == 0, done
    assert "\x1b" not in done.out + done.err
    assert f"Page: {file}" in done.out
    async with opened(chromium, file) as (page, wrong):
        await page.locator(".pair summary").first.click()
        await page.locator(".pair .diff").first.wait_for()
        shown = await page.locator("body").inner_text()
        assert shown.count("<img src=x onerror=alert(1)>") > 12
        assert "<svg onload=alert(4)>" in shown
        assert "<script>alert(3)<" in shown
        assert r"\x1b]0;owned\x07\u202e" in shown
        assert await page.evaluate("document.querySelectorAll('img').length") == 0
        assert await page.locator("#shortcuts .finding").count() == 1
    assert wrong == []
