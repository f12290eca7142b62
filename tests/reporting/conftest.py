"""One page of one Chromium, in which all tests of a page open their files."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.reporting.html.browser import launched

if TYPE_CHECKING:
    from playwright.async_api import Page


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator["Page"]:
    async with launched() as page:
        yield page
