"""A headless Chromium for the tests of the page; without one they are skipped, unless CLAIRGEN_REQUIRE_BROWSER is 1."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = os.environ.get("CLAIRGEN_REQUIRE_BROWSER") == "1"
MISSING = CHROMIUM is None or find_spec("playwright") is None

needs_browser = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),  # that of the one browser
    pytest.mark.skipif(MISSING and not REQUIRED, reason="no Chromium on this machine"),
]
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def launched() -> AsyncIterator["Browser"]:
    """A Chromium without a window."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def opened(
    browser: "Browser", path: Path, *, dark: bool = False, width: int = 1280
) -> AsyncIterator[tuple["Page", list[str]]]:
    """The file in a fresh profile, and what went wrong there: errors, dialogs, requests for anything but the file."""
    wrong: list[str] = []
    page = await browser.new_page(viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light")
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: wrong.append(request.url) if request.url != path.as_uri() else None)
    await page.goto(path.as_uri())
    yield page, wrong
    await page.close()
