import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.errors import ConfigError
from clairgen.metrics import (
    METRICS_VERSION,
    TOKENISERS,
    character_levenshtein,
    contrast,
    length_ratio,
    token_jaccard,
    treebank_words,
)
from clairgen.records import Contrast

TREEBANK = {
    "final_period_leaves_its_word": ("Water boils.", "Water boils ."),
    "inner_period_stays": ("It boils. It does.", "It boils. It does ."),
    "abbreviation_stays": ("The U.S. boils it", "The U.S. boils it"),
    "abbreviation_at_the_end_loses_its_period": ("In the U.S.", "In the U.S ."),
    "period_before_a_line_break_at_the_end": ("It boils.\n", "It boils ."),
    "period_before_closing_marks": ("(It boils.)", "( It boils . )"),
    "period_inside_a_closing_quote": ('He said "yes."', "He said `` yes . ''"),
    "two_periods_at_the_end_stay": ("Well..", "Well.."),
    "period_alone": (".", "."),
    "ellipsis": ("Well...maybe", "Well ... maybe"),
    "ellipsis_at_the_end": ("Well...", "Well ..."),
    "four_periods": ("Well....", "Well ... ."),
    "comma": ("ice, water", "ice , water"),
    "comma_in_a_number_stays": ("1,000 and a,b", "1,000 and a , b"),
    "comma_at_the_end": ("ice,", "ice ,"),
    "colon": ("Note: hot", "Note : hot"),
    "time_of_day_stays": ("at 10:30", "at 10:30"),
    "second_of_two_colons_stays": ("std::vector", "std : :vector"),
    "web_address": ("https://a.org", "https : //a.org"),
    "semicolon": ("hot;cold", "hot ; cold"),
    "dollar": ("$3.88", "$ 3.88"),
    "percent": ("50%", "50 %"),
    "at_sign_and_hash": ("a@b #c", "a @ b # c"),
    "ampersand": ("R&D", "R & D"),
    "question_and_exclamation_marks": ("What?! No!", "What ? ! No !"),
    "double_quotes": ('"Boil" and "cool"', "`` Boil '' and `` cool ''"),
    "double_quote_after_a_bracket": ('("boil")', "( `` boil '' )"),
    "double_quote_after_a_line_break_closes": ('a\n"b"', "a '' b ''"),
    "two_single_quotes": ("say ''boil'' now", "say `` boil '' now"),
    "two_backticks": ("``boil''", "`` boil ''"),
    "one_backtick_stays": ("`x`", "`x`"),
    "single_quote_before_a_space": ("the dogs' bone", "the dogs ' bone"),
    "single_quotes_around_a_word": ("'hot' tea", "'hot ' tea"),
    "parentheses": ("f(x)", "f ( x )"),
    "square_brackets": ("a[0]", "a [ 0 ]"),
    "braces_and_angle_brackets": ("{a}<b>", "{ a } < b >"),
    "two_hyphens": ("hot--cold", "hot -- cold"),
    "three_hyphens": ("---", "-- -"),
    "one_hyphen_stays": ("well-known", "well-known"),
    "em_dash_stays": ("hot—cold", "hot—cold"),
    "possessive": ("water's heat", "water 's heat"),
    "contraction_of_not": ("I don't", "I do n't"),
    "contraction_of_not_in_capitals": ("I DON'T", "I DO N'T"),
    "contraction_of_not_in_mixed_case_stays": ("I Don'T", "I Don'T"),
    "contraction_of_will": ("They'll come", "They 'll come"),
    "contractions_of_have_and_are": ("we've, you're", "we 've , you 're"),
    "contractions_of_am_and_would": ("I'm sure I'd go", "I 'm sure I 'd go"),
    "contraction_before_the_final_period": ("He can't.", "He ca n't ."),
    "curly_apostrophe_stays": ("don’t", "don’t"),
    "cannot": ("I cannot. Cannot!", "I can not . Can not !"),
    "cannot_inside_a_word_stays": ("cannotation", "cannotation"),
    "gonna_gotta_wanna": ("gonna gotta wanna go", "gon na got ta wan na go"),
    "gimme_lemme": ("Gimme and lemme", "Gim me and lem me"),
    "d_ye_and_more_n": ("d'ye more'n that", "d 'ye more 'n that"),
    "tis_and_twas": ("so 'tis or 'Twas it", "so 't is or 'T was it"),
    "case_stays": ("Hot hot HOT", "Hot hot HOT"),
    "every_kind_of_space": ("a\tb\u00a0c\r\nd\u2003e", "a b c d e"),
    "nul_and_lone_surrogate": ("a\x00b \ud800.", "a\x00b \ud800 ."),
    "nothing": (" \n", ""),
}


@pytest.mark.parametrize(("text", "words"), TREEBANK.values(), ids=TREEBANK)
def test_treebank_words(text: str, words: str) -> None:
    assert treebank_words(text) == words.split()


def test_jaccard_counts_sets_of_tokens() -> None:
    # {Water, boils, at, 100, .} and {Water, boils, fast, .}: 3 in both, 6 in either
    assert token_jaccard("Water boils at 100.", "Water boils fast.") == 3 / 6
    # {Water, boils, at, 100.} and {Water, boils, fast.}: 2 in both, 5 in either
    assert token_jaccard("Water boils at 100.", "Water boils fast.", "whitespace") == 2 / 5
    assert token_jaccard("a a a b", "a b b") == 1


def test_word_tokens_leave_punctuation_out() -> None:
    assert token_jaccard("don't stop", "don t, stop!", "word") == 1
    assert list(TOKENISERS["word"]("naïve snake_case, 3.14")) == ["naïve", "snake_case", "3", "14"]


@pytest.mark.parametrize("tokeniser", TOKENISERS)
def test_jaccard_of_two_texts_without_a_token_is_one(tokeniser: str) -> None:
    assert token_jaccard("", " \n", tokeniser) == 1
    assert token_jaccard("", "word", tokeniser) == 0


def test_unknown_tokeniser_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ConfigError, match="no tokeniser 'bpe'; choose one of treebank, whitespace, word"):
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


def test_contrast_holds_all_measures_and_the_tokeniser() -> None:
    assert contrast("a b", "a c", "word") == Contrast(levenshtein=1, jaccard=1 / 3, length_ratio=1.0, tokeniser="word")
    assert contrast("a", "").length_ratio is None
    assert contrast("a", "b").tokeniser == "treebank"


ANY_TEXT = st.text(st.characters(exclude_categories=()))
TOKENISER = st.sampled_from(sorted(TOKENISERS))


@given(ANY_TEXT, ANY_TEXT, TOKENISER)
def test_both_distances_are_symmetric_and_bounded(one: str, other: str, tokeniser: str) -> None:
    jaccard = token_jaccard(one, other, tokeniser)
    assert jaccard == token_jaccard(other, one, tokeniser)
    assert 0 <= jaccard <= 1
    edits = character_levenshtein(one, other)
    assert edits == character_levenshtein(other, one)
    assert abs(len(one) - len(other)) <= edits <= max(len(one), len(other))


@given(ANY_TEXT, TOKENISER)
def test_a_text_does_not_differ_from_itself(text: str, tokeniser: str) -> None:
    assert contrast(text, text, tokeniser) == Contrast(0, 1.0, 1.0 if text else None, tokeniser)


@given(st.text("ab.,:'()- \n\x00\ud800"))
def test_treebank_loses_nothing_but_whitespace(text: str) -> None:
    assert "".join(treebank_words(text)).replace("``", "''") == "".join(text.split())


def test_version_is_a_whole_number() -> None:
    assert METRICS_VERSION >= 1
