import pytest

from clairgen.recipes.judge import decision
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
