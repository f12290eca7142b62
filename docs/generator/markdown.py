"""Markdown for generated parts: tables, code, and texts that may hold anything."""

from collections.abc import Iterable, Sequence


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a line break or a bar inside a cell does no harm."""
    lines = [_row(titles), "|" + "---|" * len(titles)]
    return "\n".join([*lines, *(_row([_cell(cell) for cell in row]) for row in rows)])


def code(text: object) -> str:
    """Inline code, whatever the text holds; nothing for an empty text."""
    written = str(text)
    if not written:
        return ""
    return f"`` {written} ``" if "`" in written else f"`{written}`"


def fenced(text: str, language: str, title: str = "") -> str:
    """A block of code."""
    mark = f' title="{title}"' if title else ""
    return f"```{language}{mark}\n{text.rstrip()}\n```"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
