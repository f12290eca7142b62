import pytest

from clairgen.inference.cut_prompts import CutPrompts


def lengths_found(prompts: list[tuple[int | None, int]]) -> list[list[int]]:
    """What is found after each of these prompts of (tokens, characters)."""
    watched = CutPrompts()
    return [list(found) for tokens, characters in prompts if (found := watched.found(tokens, characters)) is not None]


def test_three_long_prompts_of_one_number_of_tokens_are_found_once() -> None:
    prompts: list[tuple[int | None, int]] = [
        (12, 50),
        (2048, 20_000),
        (400, 1600),
        (2048, 14_000),
        (2048, 18_000),
        (2048, 19_000),
    ]
    assert lengths_found(prompts) == [[20_000, 14_000, 18_000]]


@pytest.mark.parametrize(
    "prompts",
    [
        [(2048, 20_000), (2048, 20_000), (2048, 20_000)],  # one prompt thrice
        [(2048, 8_000), (2048, 8_300), (2048, 8_500)],  # as many characters as such texts have
        [(2048, 20_000), (2048, 14_000), (4000, 16_000), (2048, 18_000)],  # more than that fits in
        [(20, 200), (20, 210), (20, 220)],
        [(None, 20_000), (None, 14_000), (None, 18_000)],
    ],
)
def test_others_are_not(prompts: list[tuple[int | None, int]]) -> None:
    assert lengths_found(prompts) == []
