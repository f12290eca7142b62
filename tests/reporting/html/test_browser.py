"""The page as a reader meets it, in a real browser."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Page

from clairgen.records import Contrast, Message, Pair, StoredPair, Task
from clairgen.reporting.html.pairs_page import PairSample, write_page
from clairgen.reporting.report import RecipeNumbers
from clairgen.reporting.shortcut_audit import FeatureDifferences
from tests.reporting.html.browser import needs_browser, opened
from tests.reporting.made import TOO_LONG, stored_pair

pytestmark = needs_browser

ATTACKS = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    "<!--<script>",
    "\"'><svg onload=alert(4)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(5)",
    "\x1b[2J\u202e\ud800\x00",
]
HOSTILE = "\n".join(ATTACKS)


def numbered(number: int, *, recipe: str = "clair") -> StoredPair:
    pair = stored_pair(
        f"The cat number {number} slept on the mat.",
        f"The cat sat on a mat, number {number}.",
        recipe=recipe,
        contrast=Contrast(100 + number, (number % 90) / 100, 1 + number / 1000, "treebank"),
        findings=[TOO_LONG] if number % 10 == 0 else [],
    )
    task = Task(f"task-{number}", (Message("user", f"Where is cat {number}?"),))
    return replace(pair, id=f"pair-{number}", task=task, outcome=replace(pair.outcome, task_id=task.id))


def written(path: Path, pairs: Iterable[StoredPair], *, run: str = "runs/a", most: int = 500) -> Path:
    recipe = "clair"
    numbers, differences, drawn = (
        RecipeNumbers(run, recipe, "treebank"),
        FeatureDifferences(),
        PairSample(run, recipe, most),
    )
    for number, stored in enumerate(pairs):
        numbers.add(stored)
        drawn.add(stored)
        if number < 200:
            differences.add(stored)
    write_page(path, [numbers.report(cost_usd=3.0, audit=differences.audit())], [drawn])
    return path


async def test_hostile_text_stays_text(tmp_path: Path, chromium: Page) -> None:
    hostile = stored_pair(f"chosen {HOSTILE}", f"rejected {HOSTILE}", findings=[replace(TOO_LONG, reason=HOSTILE)])
    assert isinstance(hostile.outcome, Pair)
    hostile = replace(
        hostile,
        id=HOSTILE,
        task=Task(HOSTILE, (Message(HOSTILE, HOSTILE),)),
        outcome=replace(
            hostile.outcome,
            reasoning=HOSTILE,
            chosen=replace(hostile.outcome.chosen, model=HOSTILE),
            rejected=replace(hostile.outcome.rejected, model=HOSTILE),
        ),
    )
    path = written(tmp_path / "x.html", [hostile], run=HOSTILE)
    async with opened(chromium, path) as (page, wrong):
        await page.locator(".pair summary").click()
        shown = await page.locator(".pair").inner_text()
        for attack in ATTACKS[:-1]:
            assert attack in shown
        assert r"\x1b[2J\u202e\ud800\x00" in shown
        text = await page.locator("body").inner_text()
        assert r"\u202e" in text.split("Contrast")[0]  # the run's name in the heading
        assert await page.evaluate("document.querySelectorAll('img, .pair script, main svg[onload]').length") == 0
        assert await page.evaluate("document.scripts.length") == 2
    assert wrong == []


async def test_the_policy_refuses_script_that_got_in_all_the_same(tmp_path: Path, chromium: Page) -> None:
    path = written(tmp_path / "x.html", [numbered(1)])
    html = path.read_text(encoding="utf-8").replace(
        "<main>", "<main><script>alert(1)</script><img src=x onerror=alert(2)>"
    )
    path.write_text(html, encoding="utf-8")
    async with opened(chromium, path) as (page, wrong):
        assert await page.locator(".pair").count() == 1
    assert [line for line in wrong if line.startswith("dialog")] == []
    assert sum("Content Security Policy" in line for line in wrong) >= 2


async def test_pairs_are_searched_sorted_filtered_and_paged(tmp_path: Path, chromium: Page) -> None:
    path = written(tmp_path / "x.html", (numbered(number) for number in range(60)))
    async with opened(chromium, path) as (page, wrong):
        assert await page.locator("#found").inner_text() == "60 pairs"
        assert await page.locator(".pair").count() == 25
        assert await page.locator(".head").first.inner_text() == "Where is cat 0?"
        await page.get_by_role("button", name="Next").click()
        assert await page.locator("#position").inner_text() == "26–50 of 60"
        await page.locator("#sort").select_option("levenshtein")
        await page.locator("#direction").select_option("-1")
        assert await page.locator(".head").first.inner_text() == "Where is cat 59?"
        await page.locator("#outcome").select_option("too-long")
        assert await page.locator("#found").inner_text() == "6 pairs"
        await page.locator("#outcome").select_option("")
        await page.get_by_label("Search").fill("NUMBER 17 slept")  # a phrase of the chosen answer, across its changes
        await page.get_by_label("Search").press("Enter")
        assert await page.locator("#found").inner_text() == "1 pair"
    assert wrong == []


async def test_a_pair_opens_by_keyboard_with_its_diff_beside_prompt_and_reasoning(
    tmp_path: Path, chromium: Page
) -> None:
    path = written(tmp_path / "x.html", [numbered(7)])
    async with opened(chromium, path) as (page, wrong):
        await page.locator(".pair summary").focus()
        await page.keyboard.press("Enter")
        text = await page.locator(".body").inner_text()
        assert "Where is cat 7?" in text
        assert "Say what the cat did." in text
        kept_and_added = await page.evaluate(
            "[...document.querySelector('.diff').childNodes].filter(n => n.nodeName !== 'DEL').map(n => n.textContent).join('')"
        )
        kept_and_removed = await page.evaluate(
            "[...document.querySelector('.diff').childNodes].filter(n => n.nodeName !== 'INS').map(n => n.textContent).join('')"
        )
        assert kept_and_added == "The cat number 7 slept on the mat."
        assert kept_and_removed == "The cat sat on a mat, number 7."
        assert await page.locator(".diff ins").count() >= 1
    assert wrong == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
async def test_text_is_legible_and_nothing_sticks_out(tmp_path: Path, chromium: Page, dark: bool, width: int) -> None:
    path = written(tmp_path / "x.html", (numbered(number) for number in range(30)), run="runs/" + "long-name" * 20)
    async with opened(chromium, path, dark=dark, width=width) as (page, wrong):
        await page.locator(".pair summary").first.click()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        contrasts = await page.evaluate(CONTRASTS)
        assert min(contrasts.values()) >= 4.5, contrasts  # WCAG 2.2, 1.4.3
        assert await page.locator("#contrast svg").count() == 3
    assert wrong == []


CONTRASTS = """() => {
  const luminance = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
  };
  const found = {};
  for (const name of ["body", ".soft", "thead th", "nav a", "ins", "del", ".tag", ".tag.dropped", ".body h4", ".finding"]) {
    const node = document.querySelector(name);
    if (!node) continue;
    const [one, other] = [luminance(getComputedStyle(node).color), luminance(ground(node))].sort((a, b) => b - a);
    found[name] = (one + 0.05) / (other + 0.05);
  }
  return found;
}"""


async def test_ten_thousand_pairs_open_at_once_and_the_page_says_what_it_shows(tmp_path: Path, chromium: Page) -> None:
    filler = " word" * 350
    few = [numbered(number) for number in range(1000)]
    long = [
        replace(one, outcome=replace(pair, chosen=replace(pair.rejected, text=pair.rejected.text + filler)))
        for one in few
        if isinstance(pair := one.outcome, Pair)
    ]
    many = (
        replace(one, id=f"{one.id}-{thousand}", task=replace(one.task, id=f"{one.task.id}-{thousand}"))
        for thousand in range(10)
        for one in long
    )
    path = written(tmp_path / "x.html", many, most=2000)  # as many as four recipes show
    async with opened(chromium, path) as (page, wrong):
        taken = await page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
        assert await page.locator(".pair").count() == 25
        assert "2,000 of 10,000 pairs" in await page.locator("#pairs").inner_text()
    assert 0 < taken < 2000  # milliseconds
    assert wrong == []
