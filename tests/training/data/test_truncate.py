"""The two truncation rules: the paper's 512 + 512, and what TRL did when the paper was written."""

from hypothesis import given
from hypothesis import strategies as st

from clairgen_train.data.tokenize import PairIds, TokenLimits
from clairgen_train.settings import Truncation

IDS = st.lists(st.integers(0, 9), min_size=1, max_size=40)


def pair(prompt: int, chosen: int, rejected: int) -> PairIds:
    return PairIds(list(range(prompt)), list(range(chosen)), list(range(rejected)))


def test_each_part_is_truncated_separately() -> None:
    truncated = TokenLimits(4, 3).truncate(pair(6, 2, 5))
    assert truncated == PairIds([2, 3, 4, 5], [0, 1], [0, 1, 2])


def test_the_leading_bos_token_stays() -> None:
    assert TokenLimits(4, 3).truncate(pair(6, 1, 1), bos=0).prompt == [0, 3, 4, 5]
    assert TokenLimits(4, 3).truncate(pair(6, 1, 1), bos=7).prompt == [2, 3, 4, 5]


def test_trl_of_2024_truncates_nothing_that_fits_together() -> None:
    limits = TokenLimits(4, 4, Truncation.TRL_2024)
    assert limits.truncate(pair(6, 2, 1)) == pair(6, 2, 1)
    assert limits.truncate(pair(6, 3, 1)) == PairIds([2, 3, 4, 5], [0, 1, 2], [0])
    assert limits.truncate(pair(6, 7, 5)) == PairIds([2, 3, 4, 5], [0, 1, 2, 3], [0, 1, 2, 3])
    assert limits.truncate(pair(2, 7, 5)) == PairIds([0, 1], [0, 1, 2, 3], [0, 1, 2, 3])


@given(IDS, IDS, IDS, st.integers(1, 20), st.integers(1, 20), st.sampled_from(Truncation), st.sampled_from([None, 0]))
def test_nothing_exceeds_the_limits_and_only_the_ends_are_lost(
    prompt: list[int],
    chosen: list[int],
    rejected: list[int],
    prompt_tokens: int,
    response_tokens: int,
    rule: Truncation,
    bos: int | None,
) -> None:
    truncated = TokenLimits(prompt_tokens, response_tokens, rule).truncate(PairIds(prompt, chosen, rejected), bos)
    longest = len(truncated.prompt) + max(len(truncated.chosen), len(truncated.rejected))
    assert longest <= prompt_tokens + response_tokens
    if rule is Truncation.EACH:
        assert len(truncated.prompt) <= prompt_tokens
        assert max(len(truncated.chosen), len(truncated.rejected)) <= response_tokens
    assert truncated.chosen == chosen[: len(truncated.chosen)]
    assert truncated.rejected == rejected[: len(truncated.rejected)]
    rest = (
        truncated.prompt[1:]
        if truncated.prompt != prompt and bos is not None and truncated.prompt[0] == bos
        else truncated.prompt
    )
    assert rest == prompt[len(prompt) - len(rest) :]
