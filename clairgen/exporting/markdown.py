"""Markdown written so that no text from outside can become markup."""

import html
import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~$@:])")


def escaped(text: str) -> str:
    """`text` as plain words: on one line, with no character that could become markup or a link."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(visible.split()), quote=False))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
