"""The service as somebody meets it who reads pairs by the keyboard, in a real browser under its own policy."""

from pathlib import Path

from playwright.async_api import Page

from tests.reporting.html.browser import needs_browser
from tests.service.served import ids, made, rows
from tests.service.test_serving import serving

pytestmark = needs_browser

ATTACK = "<img src=x onerror=alert(1)><script>alert(2)</script>"


async def test_pairs_are_read_and_voted_on_by_keyboard_alone(tmp_path: Path, chromium: Page) -> None:
    await made(tmp_path / "runs", [*rows(4), {"prompt": ATTACK, "chosen": ATTACK, "rejected": f"{ATTACK} {ATTACK}"}])
    wrong: list[str] = []
    chromium.on("console", lambda message: wrong.append(message.text))
    chromium.on("pageerror", lambda error: wrong.append(str(error)))
    chromium.on("dialog", lambda dialog: wrong.append(dialog.message))
    async with serving(tmp_path / "runs") as (_, client, _):
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
    assert wrong == []
