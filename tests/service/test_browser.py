"""The service as somebody meets it who reads pairs by the keyboard, in a real browser under its own policy."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from clairgen.pipeline.generate import generate
from clairgen.pipeline.run_log import RunLog
from tests.reporting.html.browser import needs_browser
from tests.runs import config, played, questions, write_tasks
from tests.scripted import Reply, Script, ScriptedEndpoint
from tests.service.served import ids, made, rows
from tests.service.test_serving import serving

pytestmark = needs_browser

ATTACK = "<img src=x onerror=alert(1)><script>alert(2)</script>"


class Held(ScriptedEndpoint):
    """An endpoint that replies to nothing until its gate is open."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.gate = asyncio.Event()

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        await self.gate.wait()
        await super()._send(writer, reply)


@contextmanager
def watched(page: Page) -> Iterator[list[str]]:
    """What goes wrong in the page: errors, dialogs, and all that the console says, which is also told what the policy refuses."""
    wrong: list[str] = []
    listeners = {
        "console": lambda message: wrong.append(message.text),
        "pageerror": lambda error: wrong.append(str(error)),
        "dialog": lambda dialog: wrong.append(dialog.message),
    }
    emitter: Any = page  # typed for each event by itself
    for event, listener in listeners.items():
        emitter.on(event, listener)
    yield wrong
    for event, listener in listeners.items():
        emitter.remove_listener(event, listener)


async def test_pairs_are_read_and_voted_on_by_keyboard_alone(tmp_path: Path, chromium: Page) -> None:
    await made(tmp_path / "runs", [*rows(4), {"prompt": ATTACK, "chosen": ATTACK, "rejected": f"{ATTACK} {ATTACK}"}])
    with watched(chromium) as wrong:
        await _read_and_vote(tmp_path / "runs", chromium)
    assert wrong == []


async def test_a_run_is_watched_while_it_goes_on(tmp_path: Path, chromium: Page) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(4))
    async with Held(played) as endpoint, serving(root) as (_, client, _):
        with watched(chromium) as wrong:
            await chromium.goto(str(client.base_url))
            assert "There is no run in this folder yet" in await chromium.locator("main").inner_text()
            running = asyncio.create_task(generate(config(endpoint.url, tasks, recipes=["clair"]), root / "first"))
            await chromium.get_by_role("link", name="running").click()
            assert await chromium.locator("#progress .lead").inner_text() == "running 0 of 4 pairs, 0 failed"
            await chromium.evaluate("document.querySelector('#charts').dataset.same = 'yes'")
            endpoint.gate.set()
            await running
            await chromium.get_by_text("ended 4 of 4 pairs, 0 failed").wait_for(timeout=10_000)
            charts = chromium.locator("#charts[data-same=yes]")
            assert await charts.locator("canvas").count() == 3
            assert await charts.locator(".chart").nth(1).get_attribute("data-last") == "$0.0116"
            with closing(RunLog(root / "first" / "run.log")) as log:
                log.event("started")
                await chromium.locator("#progress .tag", has_text="running").wait_for(timeout=10_000)
            await chromium.goto("about:blank")
        assert wrong == []


async def _read_and_vote(root: Path, chromium: Page) -> None:
    async with serving(root) as (_, client, _):
        everything = await ids(client)
        base = str(client.base_url).rstrip("/")
        for dark, width in ((False, 1280), (True, 360)):
            await chromium.set_viewport_size({"width": width, "height": 800})
            await chromium.emulate_media(color_scheme="dark" if dark else "light")
            for path in ("/", "/runs/first", "/runs/first/pairs", f"/runs/first/pairs/{everything[4]}"):
                answer = await chromium.goto(base + path)
                assert answer is not None
                assert answer.ok, path
                assert await chromium.evaluate("document.documentElement.scrollWidth") <= width, path
        assert ATTACK in await chromium.locator(".whole").inner_text()
        keyboard = chromium.keyboard
        await chromium.goto(f"{base}/runs/first/pairs")
        await keyboard.press("j")
        await keyboard.press("Enter")
        await chromium.wait_for_url(f"**/pairs/{everything[0]}")
        await keyboard.press("j")
        await chromium.wait_for_url(f"**/pairs/{everything[1]}")
        await keyboard.press("v")
        await keyboard.press("ArrowDown")
        await keyboard.press("Tab")
        await keyboard.type("j.k. voter")  # keys are only letters in a field
        await keyboard.press("Enter")
        await chromium.wait_for_url("**#votes")
        assert "swap by j.k. voter" in " ".join((await chromium.locator("#votes").inner_text()).split())
        await keyboard.press("k")
        await chromium.wait_for_url(f"**/pairs/{everything[0]}")
        await chromium.goto("about:blank")
