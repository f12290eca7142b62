import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairgen.errors import ConfigError
from clairgen.metrics.contrast import (
    METRICS_VERSION,
    TOKENIZERS,
    character_levenshtein,
    contrast,
    contrasts,
    length_ratio,
    token_jaccard,
)
from clairgen.records import Contrast


def test_jaccard_counts_sets_of_tokens() -> None:
    # {Water, boils, at, 100, .} and {Water, boils, fast, .}: 3 in both, 6 in either
    assert token_jaccard("Water boils at 100.", "Water boils fast.") == 3 / 6
    # {Water, boils, at, 100.} and {Water, boils, fast.}: 2 in both, 5 in either
    assert token_jaccard("Water boils at 100.", "Water boils fast.", "whitespace") == 2 / 5
    assert token_jaccard("a a a b", "a b b") == 1


def test_word_tokens_leave_punctuation_out() -> None:
    assert token_jaccard("don't stop", "don t, stop!", "word") == 1
    assert TOKENIZERS["word"]("naïve snake_case, 3.14") == {"naïve", "snake_case", "3", "14"}


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_jaccard_of_two_texts_without_a_token_is_one(tokenizer: str) -> None:
    assert token_jaccard("", " \n", tokenizer) == 1
    assert token_jaccard("", "word", tokenizer) == 0


def test_unknown_tokenizer_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ConfigError, match="no tokenizer 'bpe'; choose one of treebank, whitespace, word"):
        token_jaccard("a", "b", "bpe")


@pytest.mark.parametrize(
    ("chosen", "rejected", "edits"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("Boil", "boil", 1),
        ("a\N{GRINNING FACE}", "a", 1),
        ("e\u0301", "\u00e9", 2),
        ("a\x00b", "ab", 1),
        ("\ud800", "\udfff", 1),
    ],
)
def test_levenshtein_counts_code_points(chosen: str, rejected: str, edits: int) -> None:
    assert character_levenshtein(chosen, rejected) == edits


def test_length_ratio_is_chosen_over_rejected() -> None:
    assert length_ratio("abc", "ab") == 1.5
    assert length_ratio("", "ab") == 0
    assert length_ratio("ab", "") is None


def test_contrast_holds_all_measures_and_the_tokenizer() -> None:
    assert contrast("a b", "a c", "word") == Contrast(levenshtein=1, jaccard=1 / 3, length_ratio=1.0, tokenizer="word")
    assert contrast("a", "").length_ratio is None
    assert contrast("a", "b").tokenizer == "treebank"


ANY_TEXT = st.text(st.characters(exclude_categories=()))
TOKENIZER = st.sampled_from(sorted(TOKENIZERS))


@given(ANY_TEXT, ANY_TEXT, TOKENIZER)
def test_both_distances_are_symmetric_and_bounded(one: str, other: str, tokenizer: str) -> None:
    jaccard = token_jaccard(one, other, tokenizer)
    assert jaccard == token_jaccard(other, one, tokenizer)
    assert 0 <= jaccard <= 1
    edits = character_levenshtein(one, other)
    assert edits == character_levenshtein(other, one)
    assert abs(len(one) - len(other)) <= edits <= max(len(one), len(other))


@settings(deadline=None)  # rapidfuzz imports numpy at the first example
@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=5), TOKENIZER)
def test_many_pairs_are_measured_as_each_alone(pairs: list[tuple[str, str]], tokenizer: str) -> None:
    chosen, rejected = [one for one, _ in pairs], [other for _, other in pairs]
    assert contrasts(chosen, rejected, tokenizer) == [contrast(one, other, tokenizer) for one, other in pairs]


@given(ANY_TEXT, TOKENIZER)
def test_a_text_does_not_differ_from_itself(text: str, tokenizer: str) -> None:
    assert contrast(text, text, tokenizer) == Contrast(0, 1.0, 1.0 if text else None, tokenizer)


def test_version_is_a_whole_number() -> None:
    assert METRICS_VERSION >= 1
