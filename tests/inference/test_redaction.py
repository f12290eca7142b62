"""Keys are recognised in whatever spelling a server gives them, and nothing else is taken for one."""

import html
import json
import time
import urllib.parse
from collections.abc import Callable

import pytest

from clairgen.errors import RetryableError
from clairgen.inference.redaction import Redaction

KEY = "sk-proj-a/b+c_D1234567890abcdefXYZ0987654321"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON, escaped slash": lambda key: json.dumps(key).replace("/", "\\/"),
    "JSON, all escaped": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "JSON in JSON": lambda key: json.dumps(json.dumps("".join(f"\\u{ord(one):04X}" for one in key))),
    "percent": lambda key: urllib.parse.quote(key, safe=""),
    "percent, all escaped": lambda key: "".join(f"%{ord(one):02x}" for one in key),
    "percent twice": lambda key: urllib.parse.quote(urllib.parse.quote(key, safe=""), safe=""),
    "HTML": lambda key: html.escape(key).replace("/", "&#x2F;").replace("+", "&plus;"),
    "HTML, all escaped": lambda key: "".join(f"&#{ord(one)};" for one in key),
    "Markdown": lambda key: key.replace("_", "\\_").replace("-", "\\-"),
    "UTF-16": lambda key: key.encode("utf-16-be").decode("latin-1"),
    "cut": lambda key: f"{key[:20]}...",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_redacted_in_bytes_and_in_texts(spelling: str) -> None:
    redaction, spelled = Redaction.of([KEY, None]), SPELLINGS[spelling](KEY)
    for found in (
        redaction.text(f"before {spelled} after"),
        redaction.body(f"before {spelled} after".encode()).decode(),
    ):
        assert "[key]" in found
        assert found.startswith("before ")
        assert found.endswith(" after")
        assert "proj" not in found
        assert len(found) < len("before [key] after") + 12


def test_an_error_says_nothing_of_a_key() -> None:
    error = RetryableError("server-error", f"HTTP 500: {KEY}")
    Redaction.of([KEY]).error(error)
    assert (error.detail, str(error)) == ("HTTP 500: [key]", "server-error: HTTP 500: [key]")


@pytest.mark.parametrize("word", ["EMPTY", "none", "lm-studio", "sk-no-key-required"])
def test_what_servers_without_keys_are_given_stays_in_answers(word: str) -> None:
    assert Redaction.of([word]).text(f"the set is {word}") == f"the set is {word}"


def test_texts_without_keys_stay_as_they_are() -> None:
    text = "sk-proj-other \\frac{a}{b} 50% &amp; \u00e9\ud800 \0 \\u0073k-"
    assert Redaction.of([KEY]).text(text) == text


def test_a_long_key_is_redacted_whole_and_soon() -> None:
    token = f"eyJhbGciOi{'aB3-_' * 400}.{'x' * 300}"
    start = time.process_time()
    assert Redaction.of([token]).text(f"a {token} b") == "a [key] b"
    assert time.process_time() - start < 2


@pytest.mark.parametrize("fragment", ["\\", "%25", "&amp;", "\0", KEY[:11], "s\\", "s\0", "\\\\u00", "&#0"])
def test_the_time_to_search_grows_with_the_text_alone(fragment: str) -> None:
    def seconds(count: int) -> float:
        text = fragment * (count // len(fragment)) + "%"
        start = time.process_time()
        Redaction.of([KEY]).text(text)
        return time.process_time() - start

    seconds(1000)
    assert seconds(200_000) < 12 * max(0.002, min(seconds(50_000) for _ in range(3)))
