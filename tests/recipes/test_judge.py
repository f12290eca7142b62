import asyncio

import pytest

from clairgen.recipes.judge import decision
from clairgen.recipes.recipe import together
from clairgen.records import Judgement, ParseStatus


def verdict(
    winner: int | None, *, role: str = "judge", swapped: bool = False, status: ParseStatus = ParseStatus.NO_VERDICT
) -> Judgement:
    order = (2, 1) if swapped else (1, 2)
    choice = None if winner is None else order.index(winner) + 1
    return Judgement(role, "key", *order, choice, status if winner is None else ParseStatus.OK, None, 1)


@pytest.mark.parametrize(
    ("judgements", "decided"),
    [
        ([verdict(1)], 1),
        ([verdict(2, swapped=True)], 2),
        ([verdict(None)], ParseStatus.NO_VERDICT),
        ([verdict(None, status=ParseStatus.DECLARED_TIE)], ParseStatus.DECLARED_TIE),
        ([verdict(1), verdict(1, swapped=True)], 1),
        ([verdict(1), verdict(2, swapped=True)], ParseStatus.TIE_BETWEEN_ORDERS),
        ([verdict(1), verdict(None, swapped=True)], ParseStatus.NO_VERDICT),
        ([verdict(1), verdict(1, role="judge-2"), verdict(2, role="judge-3")], 1),
        ([verdict(1), verdict(2, role="judge-2")], ParseStatus.TIE_BETWEEN_JUDGES),
        ([verdict(1), verdict(None, role="judge-2"), verdict(1, role="judge-3")], 1),
        ([verdict(None), verdict(2, role="judge-2")], 2),
        (
            [
                verdict(1),
                verdict(2, swapped=True),
                verdict(2, role="judge-2"),
                verdict(2, role="judge-2", swapped=True),
            ],
            2,
        ),
    ],
)
def test_what_verdicts_decide(judgements: list[Judgement], decided: int | ParseStatus) -> None:
    assert decision(judgements) == decided


def test_winner_is_the_answer_not_the_position() -> None:
    assert verdict(2, swapped=True).choice == 1
    assert verdict(2, swapped=True).winner == 2


async def test_requests_made_together_are_returned_in_their_order() -> None:
    both_begun = asyncio.Barrier(2)

    async def request(name: str, seconds: float) -> str:
        await both_begun.wait()  # returns only if neither waits for the other's answer
        await asyncio.sleep(seconds)
        return name

    assert await asyncio.wait_for(together(request("first", 0.01), request("second", 0)), 5) == ["first", "second"]


async def test_an_answer_that_is_under_way_is_waited_for_when_another_request_fails() -> None:
    answered: list[str] = []

    async def fails() -> str:
        raise ValueError("rejected")

    async def answers() -> str:
        await asyncio.sleep(0.01)
        answered.append("paid for")
        return "paid for"

    with pytest.raises(ValueError, match="rejected"):
        await together(fails(), answers())
    assert answered == ["paid for"]
