"""A headless Chromium for the tests of the page; without one they are skipped, unless CLAIRGEN_REQUIRE_BROWSER is 1."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Dialog, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = os.environ.get("CLAIRGEN_REQUIRE_BROWSER") == "1"
MISSING = CHROMIUM is None or find_spec("playwright") is None

needs_browser = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),  # that of the one page
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
async def launched() -> AsyncIterator["Page"]:
    """An empty page in a Chromium without a window."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield await browser.new_page()
        await browser.close()


@asynccontextmanager
async def opened(
    page: "Page", path: Path, *, dark: bool = False, width: int = 1280
) -> AsyncIterator[tuple["Page", list[str]]]:
    """The page with a file in it, and what went wrong there: errors, dialogs, requests for anything but the file."""
    wrong: list[str] = []

    async def note_dialog(dialog: "Dialog") -> None:
        wrong.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    listeners: dict[str, Callable[[Any], object]] = {
        "console": lambda message: wrong.append(f"console: {message.text}"),
        "pageerror": lambda error: wrong.append(f"error: {error}"),
        "dialog": note_dialog,
        "request": lambda request: wrong.append(request.url) if request.url != path.as_uri() else None,
    }
    await page.set_viewport_size({"width": width, "height": 800})
    await page.emulate_media(color_scheme="dark" if dark else "light")
    emitter: Any = page  # typed for each event by itself
    for event, listener in listeners.items():
        emitter.on(event, listener)
    try:
        await page.goto(path.as_uri())
        yield page, wrong
    finally:
        for event, listener in listeners.items():
            emitter.remove_listener(event, listener)
        await page.goto("about:blank")
