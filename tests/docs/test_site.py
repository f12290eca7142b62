"""The site as it is built: without a warning, whole, and loading nothing from elsewhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from docs.generator.__main__ import PAGES, pages, write

pytestmark = pytest.mark.slow


def navigation(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    inner = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return [page for part in inner for page in navigation(part)]


def test_every_page_is_in_the_navigation() -> None:
    site = tomllib.loads((PAGES / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(navigation(site["project"]["nav"])) == sorted(pages())


@pytest.mark.process
def test_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("zensical")
    count = write(tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    built = sorted((tmp_path / "docs").rglob("*.html"))
    assert len(built) == count + 1  # and the page of what is not there
    for page in built:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe|source)[^>]*\bsrc=\"?(?:https?:)?//", text), page
        assert not re.findall(r"<link[^>]*\bhref=\"?(?:https?:)?//", text), page


def test_pictures_load_nothing_from_elsewhere() -> None:
    for picture in PAGES.rglob("*.svg"):
        assert not re.search(r"url\(['\"]?https?:|@import|href=|@font-face", picture.read_text(encoding="utf-8"))
