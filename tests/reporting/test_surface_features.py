import pytest

from clairgen.reporting.surface_features import FEATURES, surface_features

EXAMPLES = {
    "characters": ("four", 4),
    "leading white space": ("\n a b ", 2),
    "trailing white space": (" a b\n", 1),
    "words": ("three\nshort words", 3),
    "paragraphs": ("one\n\n\n\ntwo\nlines", 2),
    "bullets": ("- a\n  * b\n• c\n-d\nx - y", 3),
    "numbered items": ("1. a\n 22) b\n2024 c\n3.14", 2),
    "headings": ("# a\n### b\n#c\nx # y", 2),
    "bold": ("**a b** and __c__, 2 ** 3 ** 4", 2),
    "code fences": ("```py\nx\n```\nx ``` y", 2),
    "inline code": ("`a` and `b c`", 2),
    "table rows": ("| a | b |\n|---|---|\na | b", 2),
    "links": ("see https://a.org or http://b.org", 2),
    "emoji": ("good ✅ luck 🎉", 2),
    "exclamation marks": ("No! No!!", 3),
    "question marks": ("What? Why?", 2),
    "parentheses": ("f(x) (y)", 2),
    "dashes": ("a—b - c – d well-known", 3),
    "quotation marks": ('"a" “b”', 4),
    "digits": ("in 1905", 4),
    "first person": ("I said I’m Mine to me", 3),
    "hedges": ("It may perhaps be mayor Maybe's", 2),
    "intensifiers": ("Very truly yours, everything", 2),
    "apologies": ("Sorry, I apologize", 2),
    "opens by agreeing": ("**Certainly!** It is.", 1),
    "opens with here is": ("Here’s a list", 1),
    "closes with an offer": ("x" * 500 + " I hope this helps!", 1),
    "closes by summing up": ("Long.\n\nIn conclusion, it is long.", 1),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_counts_what_it_is_named_for(feature: str) -> None:
    text, count = EXAMPLES[feature]
    assert surface_features(text)[FEATURES.index(feature)] == count


def test_openers_and_closers_count_in_their_place_only() -> None:
    found = dict(
        zip(FEATURES, surface_features("It is certain. Sure, here is one. Let me know. " + "x" * 300), strict=True)
    )
    assert not any(found[name] for name in FEATURES if name.startswith(("opens", "closes")))
    assert dict(zip(FEATURES, surface_features("Surely not."), strict=True))["opens by agreeing"] == 0


def test_any_text_has_its_features() -> None:
    assert surface_features("") == (0.0,) * len(FEATURES)
    assert len(surface_features("\x00\ud800\u202e" + "*" * 50_000 + "|" * 50_000)) == len(FEATURES)
