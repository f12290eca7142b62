import pytest

from clairgen.filters.text import fenced, phrase_pattern, prose, shingles, straight, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Do it: 3 TIMES!", ["do", "it", "3", "times"]),
        ("你好 world", ["你", "好", "world"]),
        ("日本のpython", ["日", "本", "の", "python"]),
        ("?!", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_shingles_of_few_words_are_one() -> None:
    assert shingles(list("abcd"), 3) == ["a b c", "b c d"]
    assert shingles(list("ab"), 3) == ["a b"]
    assert shingles([], 3) == []


def test_fences_are_found_with_their_tags_and_taken_out_of_prose() -> None:
    text = "See\n```Python\nx = 1\n```\nand `y`\n~~~\nz\n~~~\nend\n```js\nopen"
    assert fenced(text) == [("python", "x = 1\n"), ("", "z\n"), ("js", "open")]
    assert prose(text).split() == ["See", "and", "end"]
    assert fenced("```x``` is code in a line\nthat goes on") == []
    assert fenced("````\n```\ninner\n````\nout") == [("", "```\ninner\n")]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["`" * 100_000, "```\n" * 20_000, "\n" * 100_000, "a" * 100_000, "'s " * 30_000])
def test_hostile_texts_take_no_time(text: str) -> None:
    fenced(text)
    prose(text)
    straight(text)
    words(text)


def test_straight_text() -> None:
    assert straight(" It\u2019s\n  HERE ") == "it's here"


def test_lists_stand_in_phrases_and_nothing_is_captured() -> None:
    pattern = phrase_pattern((r"a (very )?<big> \(dog\)", "<big>est"), {"big": "big, <large>", "large": "large, hu?ge"})
    assert pattern.groups == 0
    assert [bool(pattern.fullmatch(text)) for text in ("a very hge (dog)", "biggest", "bigest", "a dog")] == [
        True,
        False,
        True,
        False,
    ]
