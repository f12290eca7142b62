"""The page of training runs as a reader meets it, in a real browser."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Page

from clairgen.reporting.training.page import write_training_page
from clairgen.reporting.training.report import TrainingReport
from tests.reporting.html.browser import needs_browser, opened
from tests.reporting.html.test_browser import ATTACKS, CONTRASTS, HOSTILE
from tests.reporting.training.made import FOUR, HEALTHY, trajectory

pytestmark = needs_browser


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("four")
    runs = [trajectory(folder / ("long-name" * 20) / name, planned) for name, planned in FOUR.items()]
    write_training_page(folder / "x.html", [TrainingReport(run) for run in runs])
    return folder / "x.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
async def test_text_is_legible_and_nothing_sticks_out(four: Path, chromium: Page, dark: bool, width: int) -> None:
    async with opened(chromium, four, dark=dark, width=width) as (page, wrong):
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        contrasts = await page.evaluate(CONTRASTS)
        assert min(contrasts.values()) >= 4.5, contrasts  # WCAG 2.2, 1.4.3
        assert await page.locator("#curves svg").count() == 16
        lines = await page.evaluate(LINES)
        assert len(lines) >= 3
        assert min(lines.values()) >= 3, lines  # WCAG 2.2, 1.4.11
    assert wrong == []


LINES = """() => {
  const luminance = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = luminance(getComputedStyle(document.querySelector("figure")).backgroundColor) + 0.05;
  const found = {};
  for (const path of document.querySelectorAll("#curves [aria-roledescription='line mark'], #curves .mark-line path")) {
    const color = getComputedStyle(path).stroke;
    const line = luminance(color) + 0.05;
    found[color] = Math.max(line, ground) / Math.min(line, ground);
  }
  return found;
}"""


async def test_charts_stand_side_by_side_where_there_is_room_and_below_each_other_where_not(
    four: Path, chromium: Page
) -> None:
    for width, columns in ((1280, 4), (360, 1)):
        async with opened(chromium, four, width=width) as (page, wrong):
            lefts = await page.evaluate(
                "[...document.querySelector('.charts').querySelectorAll('figure')].map((one) => one.getBoundingClientRect().left)"
            )
            assert len(lefts) == 4
            assert len(set(lefts)) == columns
        assert wrong == []


async def test_hostile_names_stay_text(tmp_path: Path, chromium: Page) -> None:
    hostile = HOSTILE.replace("\ud800", "").replace("\x00", "")
    planned = replace(FOUR["dpo"], objective=hostile, data=hostile, model=hostile)
    folder = tmp_path / "<img src=x onerror=alert(6)><script>alert(7)<"
    folder.mkdir()
    (folder / "training.yaml").write_text('"<img src=x onerror=alert(8)>": "<script>alert(9)</script>"\n')
    runs = [trajectory(folder, planned), trajectory(tmp_path / "b", HEALTHY)]
    write_training_page(tmp_path / "x.html", [TrainingReport(run) for run in runs])
    async with opened(chromium, tmp_path / "x.html") as (page, wrong):
        shown = await page.locator("body").inner_text()
        for attack in ATTACKS[:-1]:
            assert attack in shown
        assert r"\x1b[2J\u202e" in shown
        assert "<img src=x onerror=alert(6)><script>alert(7)<" in shown
        assert "<img src=x onerror=alert(8)>" in shown
        assert "<script>alert(9)</script>" in shown
        assert await page.evaluate("document.querySelectorAll('img, script, svg[onload]').length") == 0
    assert wrong == []


def with_script(page: Path, path: Path) -> Path:
    html = page.read_text(encoding="utf-8")
    html = html.replace("<main>", "<main><script>alert(1)</script><img src=x onerror=alert(2)>")
    path.write_text(html, encoding="utf-8")
    return path


async def test_the_policy_refuses_script_that_got_in_all_the_same(tmp_path: Path, four: Path, chromium: Page) -> None:
    async with opened(chromium, with_script(four, tmp_path / "x.html")) as (page, wrong):
        assert await page.locator("#curves svg").count() == 16
    assert [entry for entry in wrong if entry.startswith("dialog")] == []
    assert sum("Content Security Policy" in entry for entry in wrong) >= 2
