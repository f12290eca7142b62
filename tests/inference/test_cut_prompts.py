import pytest

from clairgen.inference.pool import CutPrompts


def lengths_found(prompts: list[tuple[int | None, str]]) -> list[list[int]]:
    """What is found after each of these prompts of (tokens, text)."""
    watched = CutPrompts()
    return [list(found) for tokens, text in prompts if (found := watched.found(tokens, text)) is not None]


def test_three_long_prompts_of_one_number_of_tokens_are_found_once() -> None:
    prompts: list[tuple[int | None, str]] = [
        (12, "a" * 50),
        (2048, "a" * 20_000),
        (400, "a" * 1600),
        (2048, "b" * 14_000),
        (2048, "c" * 14_000),
        (2048, "a" * 19_000),
    ]
    assert lengths_found(prompts) == [[20_000, 14_000, 14_000]]


@pytest.mark.parametrize(
    "prompts",
    [
        [(2048, "a" * 20_000)] * 3,  # one prompt thrice
        [(2048, "a" * 8_000), (2048, "a" * 8_300), (2048, "a" * 8_500)],  # as many characters as such texts have
        [
            (2048, "a" * 20_000),
            (2048, "a" * 14_000),
            (4000, "a" * 16_000),
            (2048, "a" * 18_000),
        ],  # more than that fits in
        [(20, "a" * 200), (20, "a" * 210), (20, "a" * 220)],
        [(None, "a" * 20_000), (None, "a" * 14_000), (None, "a" * 18_000)],
    ],
)
def test_others_are_not(prompts: list[tuple[int | None, str]]) -> None:
    assert lengths_found(prompts) == []
