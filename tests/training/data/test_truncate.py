"""The two rules of cutting: the paper's 512 + 512, and what TRL did when it was written."""

from hypothesis import given
from hypothesis import strategies as st

from clairgen_train.data.tokenize import Limits, PairIds
from clairgen_train.settings import Truncation

IDS = st.lists(st.integers(0, 9), min_size=1, max_size=40)


def pair(prompt: int, chosen: int, rejected: int) -> PairIds:
    return PairIds(list(range(prompt)), list(range(chosen)), list(range(rejected)))


def test_each_part_is_cut_on_its_own() -> None:
    cut = Limits(4, 3).cut(pair(6, 2, 5))
    assert cut == PairIds([2, 3, 4, 5], [0, 1], [0, 1, 2])


def test_the_token_that_begins_a_text_stays() -> None:
    assert Limits(4, 3).cut(pair(6, 1, 1), bos=0).prompt == [0, 3, 4, 5]
    assert Limits(4, 3).cut(pair(6, 1, 1), bos=7).prompt == [2, 3, 4, 5]


def test_trl_of_2024_cuts_nothing_that_fits_together() -> None:
    limits = Limits(4, 4, Truncation.TRL_2024)
    assert limits.cut(pair(6, 2, 1)) == pair(6, 2, 1)
    assert limits.cut(pair(6, 3, 1)) == PairIds([2, 3, 4, 5], [0, 1, 2], [0])
    assert limits.cut(pair(6, 7, 5)) == PairIds([2, 3, 4, 5], [0, 1, 2, 3], [0, 1, 2, 3])
    assert limits.cut(pair(2, 7, 5)) == PairIds([0, 1], [0, 1, 2, 3], [0, 1, 2, 3])


@given(IDS, IDS, IDS, st.integers(1, 20), st.integers(1, 20), st.sampled_from(Truncation), st.sampled_from([None, 0]))
def test_nothing_passes_the_limits_and_what_remains_was_there(
    prompt: list[int],
    chosen: list[int],
    rejected: list[int],
    prompt_tokens: int,
    response_tokens: int,
    rule: Truncation,
    bos: int | None,
) -> None:
    cut = Limits(prompt_tokens, response_tokens, rule).cut(PairIds(prompt, chosen, rejected), bos)
    longest = len(cut.prompt) + max(len(cut.chosen), len(cut.rejected))
    assert longest <= prompt_tokens + response_tokens
    if rule is Truncation.EACH:
        assert len(cut.prompt) <= prompt_tokens
        assert max(len(cut.chosen), len(cut.rejected)) <= response_tokens
    assert cut.chosen == chosen[: len(cut.chosen)]
    assert cut.rejected == rejected[: len(cut.rejected)]
    rest = cut.prompt[1:] if cut.prompt != prompt and bos is not None and cut.prompt[0] == bos else cut.prompt
    assert rest == prompt[len(prompt) - len(rest) :]
