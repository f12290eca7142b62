import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from clairgen.reporting.sanitize import plain_line, plain_text, safe, safe_line

HOSTILE = [
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("\x1b[2J", r"\x1b[2J"),
    ("\x9b2J", r"\x9b2J"),
    ("a\x00b", r"a\x00b"),
    ("a\x7fb\x08", r"a\x7fb\x08"),
    ("over\rwrite", r"over\rwrite"),
    ("\u202eevil\u202c", r"\u202eevil\u202c"),
    ("\u2066x\u2069", r"\u2066x\u2069"),
    ("\u2028\u2029", r"\u2028\u2029"),
    ("pass\u200bword\ufeff", r"pass\u200bword\ufeff"),
    ("pass\u200dword", r"pass\u200dword"),
    ("\U000e0041", r"\U000e0041"),
    ("\ud800", r"\ud800"),
]

HARMLESS = [
    "a\tb\n c",
    "[red]",
    "[/]",
    r"\frac{1}{2}",
    "naïve – ‘quoted’ 漢字",
    "می\u200cخواهم",
    "👩\u200d👩\u200d👧",
    "\U0001f3f3\ufe0f",
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_acts_on_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert plain_text(text) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays(text: str) -> None:
    assert plain_text(text) == text


def test_a_name_stays_on_one_line() -> None:
    assert plain_line("a\nb\tc\x1b") == r"a\nb\tc\x1b"


@pytest.mark.parametrize("text", ["[red]", "[/]", "[bold", "[link=http://x]y[/link]", ":smile:", "\\[red]"])
def test_markup_is_never_interpreted(text: str) -> None:
    console = Console(width=80, force_terminal=True, color_system="truecolor", record=True)
    with console.capture() as capture:
        console.print(safe(text))
        console.print(safe_line(text))
    assert capture.get() == f"{text}\n{text}\n"


@given(st.text(st.characters(categories=None)))
def test_no_control_character_is_left_and_no_text_fails(text: str) -> None:
    shown = plain_text(text)
    shown.encode()
    assert all(character in "\n\t" or unicodedata.category(character) != "Cc" for character in shown)
    assert plain_text(shown) == shown
    assert "\n" not in plain_line(text)
