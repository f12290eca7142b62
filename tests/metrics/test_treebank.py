from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.metrics.treebank import treebank_set, treebank_words

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


@given(st.text("ab.,:'()- \n\x00\ud800"))
def test_treebank_loses_nothing_but_whitespace(text: str) -> None:
    assert "".join(treebank_words(text)).replace("``", "''") == "".join(text.split())


PIECES = (
    "a", "B", "1", ".", "..", "...", ",", ":", ";", "!", "?", "'", '"', "''", "``", "`", "(", ")", "[", "{", "--", "-", "$", "&",
    " ", "  ", "\n", "\n\n", "\t", "\r", "\u00a0", "\x1c", "'s", "'S", "'ll", "n't", "N'T", "'re", "don't", "cannot", "gonna",
    "wanna", "d'ye", "more'n", "'tis", "'Twas", "gimme", "dogs'", "etc.", "x", "\ud800", "\x00",
)  # fmt: skip
MADE_OF_PIECES = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@given(MADE_OF_PIECES)
def test_the_set_is_that_of_the_words(text: str) -> None:
    assert treebank_set(text) == set(treebank_words(text))


@pytest.fixture(scope="module")
def nltk_words() -> Callable[[str], list[str]]:
    """NLTK's own; its import takes longer than hypothesis lets an example take."""
    from nltk.tokenize import TreebankWordTokenizer

    words: Callable[[str], list[str]] = TreebankWordTokenizer().tokenize
    return words


@pytest.mark.slow
@given(MADE_OF_PIECES)
def test_words_are_those_of_nltk(nltk_words: Callable[[str], list[str]], text: str) -> None:
    assert treebank_words(text) == nltk_words(text)


@pytest.mark.parametrize(("text", "words"), TREEBANK.values(), ids=TREEBANK)
def test_the_set_keeps_every_rule_in_the_middle_of_a_text(text: str, words: str) -> None:
    for whole in (text, f"So {text} it is.", f"So\n{text}\nit is", f"{text} {text}\n{text} "):
        assert treebank_set(whole) == set(treebank_words(whole))
