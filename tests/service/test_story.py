"""The service from a first visit to a trained model, as somebody goes through it in a browser, with the models that ship."""

import re
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Locator, Page

from clairgen.service.runs_root import EXPORTS, TRAINED
from tests.reporting.html.browser import needs_browser
from tests.service.test_browser import watched
from tests.service.test_serving import serving

pytest.importorskip("trl")
pytestmark = [*needs_browser, pytest.mark.process, pytest.mark.train]

TASKS: Final = 24
RECIPES: Final = ("clair", "human-revision", "stronger-preferred")
_SLOW_MS: Final = 120_000


@pytest.mark.timeout(300)
async def test_a_first_visit_ends_with_a_trained_model(tmp_path: Path, chromium: Page) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    async with serving(root) as (_, client, _), _alone(chromium, base := str(client.base_url).rstrip("/")):
        await _generate_and_watch(chromium, base)
        await _look_vote_and_edit(chromium, base)
        await _job(chromium, base, "filter", run="first", drop="votes")
        dropped = chromium.locator("#list .tag.dropped")
        await chromium.goto(f"{base}/runs/first/pairs?dropped=voted-drop")
        assert await dropped.all_inner_texts() == ["dropped: voted-drop"]
        await _job(chromium, base, "export", run="first", name="first", test_fraction="0.25")
        await _download(chromium, "All of them as one archive", tmp_path / "first.tar")
        with tarfile.open(tmp_path / "first.tar") as archive:
            assert {"first/README.md", *(f"first/{recipe}/train-00000-of-00001.parquet" for recipe in RECIPES)} <= set(
                archive.getnames()
            )
        settings = 'model: "classroom:student"\nsubset: stronger-preferred\nepochs: 1\nlog_every: 1'
        await chromium.get_by_role("link", name="train a model on this data set").click()
        assert await chromium.locator("input[name=data]").input_value() == f"{EXPORTS}/first"
        await _submit(chromium, name="model", preset="classroom", settings=settings)
        assert (root / TRAINED / "model" / "model.safetensors").is_file()
        await chromium.get_by_role("link", name="report on the model").click()
        await _submit(chromium)
        await _download(chromium, "report.html", tmp_path / "report.html")
    await chromium.goto((tmp_path / "report.html").as_uri())
    assert await chromium.locator("#curves svg").count() == 3
    await chromium.goto("about:blank")


@asynccontextmanager
async def _alone(page: Page, base: str) -> AsyncIterator[None]:
    """Nothing goes wrong in the page meanwhile, and it asks nobody but the service."""
    elsewhere: list[str] = []

    def note(address: str) -> None:
        if not address.startswith((f"{base}/", "data:", "about:")):
            elsewhere.append(address)

    page.on("request", lambda request: note(request.url))
    with watched(page) as wrong:
        yield
        await page.goto("about:blank")
    assert (wrong, elsewhere) == ([], [])


async def _generate_and_watch(page: Page, base: str) -> None:
    await page.goto(base)
    await page.get_by_role("link", name="Jobs").click()
    await page.get_by_role("link", name="Submit a job").click()
    await page.locator("input[name=run]").fill("first")
    configuration = page.locator("textarea[name=configuration]")
    slow = (await configuration.input_value()).replace(
        "concurrency: 16", "concurrency: 1"
    )  # so that there is something to watch
    await configuration.fill(slow)
    await page.locator("input[name=limit]").fill(str(TASKS))
    await page.get_by_role("button", name="Submit").click()
    follow = page.get_by_role("link", name="Follow the run")
    await _until(page, follow)
    await follow.click()
    await page.wait_for_url("**/live")
    seen, words = [], ""
    while "ended" not in words:
        words = await page.locator("#progress .lead").inner_text(timeout=_SLOW_MS)
        seen += [int(done[1])] if (done := re.search(r"(\d+) of", words)) else []
        await page.wait_for_timeout(200)
    assert f"{2 * TASKS} of {2 * TASKS} pairs, 0 failed" in words
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


async def _look_vote_and_edit(page: Page, base: str) -> None:
    """By keyboard alone: the second pair is dropped, and the chosen answer of the third is edited."""
    keyboard = page.keyboard
    await page.goto(f"{base}/runs/first/pairs?recipe=clair&kept=true")
    for key in ("j", "j", "Enter"):
        await keyboard.press(key)
    await page.wait_for_url(re.compile(r"/pairs/[0-9a-f]{8,}"))
    assert await page.locator(".diff ins, .diff del").count()
    await keyboard.press("4")
    await keyboard.press("Tab")
    await keyboard.type("ada")
    await keyboard.press("Enter")
    await page.wait_for_url("**#votes")
    assert "drop by ada" in await page.locator("#votes").inner_text()
    await keyboard.press("j")
    await page.wait_for_url(lambda address: "#votes" not in address)
    await keyboard.press("e")
    await page.wait_for_url("**/edit")
    await page.get_by_label("Edited answer").focus()
    await keyboard.press("Control+End")
    await keyboard.type(" That is the sum.")
    for _ in range(2):
        await keyboard.press("Tab")
    if not await page.get_by_label("Your name").input_value():
        await keyboard.type("ada")
    await keyboard.press("Enter")
    await page.get_by_text("human-revision").first.wait_for()


async def _job(page: Page, base: str, verb: str, **fields: str) -> None:
    """A job by the form of a verb."""
    await page.goto(f"{base}/jobs/new?verb={verb}")
    await _submit(page, **fields)


async def _submit(page: Page, **fields: str) -> None:
    """Fill in a form, submit it, and wait for the end of the job."""
    for name, value in fields.items():
        field = page.locator(f"form.vote [name={name}]")
        if await field.evaluate("field => field.tagName") == "SELECT":
            await field.select_option(value)
        else:
            await field.fill(value)
    await page.get_by_role("button", name="Submit").click()
    assert "/jobs/new" not in page.url, await page.locator("main").inner_text()
    over = page.locator(".tags .tag", has_text=re.compile("done|failed"))
    await _until(page, over)
    assert await over.inner_text() == "done", await page.locator("main").inner_text()


async def _until(page: Page, wanted: Locator) -> None:
    """Load the page of a job again until it shows what is wanted."""
    for _ in range(_SLOW_MS // 1000):
        if await wanted.count():
            return
        await page.wait_for_timeout(1000)
        await page.reload()
    raise TimeoutError(await page.locator("main").inner_text())


async def _download(page: Page, link: str, path: Path) -> None:
    async with page.expect_download() as download:
        await page.get_by_role("link", name=link).click()
    await (await download.value).save_as(path)
