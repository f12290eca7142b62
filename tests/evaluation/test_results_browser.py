"""The page of evaluations in a real browser: legible on narrow screens, and text of users and models stays text."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.evaluation.test_results_page import TEXT, numbered, written
from tests.reporting.html.browser import needs_browser, opened
from tests.reporting.html.test_browser import ATTACKS, CONTRASTS

pytestmark = needs_browser


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
async def test_it_is_legible_and_nothing_sticks_out(tmp_path: Path, chromium: Page, dark: bool, width: int) -> None:
    long = "label " * 30
    file = await written(tmp_path, numbered(4), f"first{long}", f"second{'x' * 200}")
    async with opened(chromium, file, dark=dark, width=width) as (page, wrong):
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        names = '["body", ".soft", "thead th", "nav a", ".right", ".wrong", ".tag", ".facts", ".body h4"]'
        contrasts = await page.evaluate(
            re.sub(r"for \(const name of \[.*?\]\)", f"for (const name of {names})", CONTRASTS)
        )
        assert len(contrasts) == 9
        assert min(contrasts.values()) >= 4.5, contrasts  # WCAG 2.2, 1.4.3
    assert wrong == []


async def test_hostile_text_stays_text(tmp_path: Path, chromium: Page) -> None:
    file = await written(tmp_path, numbered(3), f"first {TEXT}", f"second {TEXT}")
    async with opened(chromium, file) as (page, wrong):
        shown = await page.locator("body").inner_text()
        for attack in ATTACKS[:-1]:
            assert attack in shown
        assert r"\x1b[2J\u202e" in shown
        assert await page.evaluate("document.querySelectorAll('img, script, svg[onload]').length") == 0
    assert wrong == []
