from hypothesis import given
from hypothesis import strategies as st

from clairgen.pipeline.copy_allowance import CopyAllowance


class Waiting:
    """A session that is hurried, and that is told to try again."""

    def __init__(self, limit: int) -> None:
        self._hurries: list[None] = []
        self._trials: list[None] = []
        self.allowance = CopyAllowance(limit, lambda: self._hurries.append(None))

    @property
    def calls(self) -> tuple[int, int]:
        """How often it was hurried, and how often told to try again."""
        return len(self._hurries), len(self._trials)

    def covers(self, total: int, most: int = 1) -> bool:
        """Whether the run may come to a total."""
        return self.allowance.covers(total, most, lambda: self._trials.append(None))

    def stated(self) -> int:
        """What the copy says from now on."""
        statement = self.allowance.next_statement()
        self.allowance.state(statement)
        return statement


def test_nothing_is_spent_before_the_copy_says_so() -> None:
    session = Waiting(1000)
    assert not session.covers(1)
    assert session.calls == (1, 0)
    statement = session.allowance.next_statement()
    assert not session.covers(1)
    assert session.calls == (1, 0)  # it is on its way
    session.allowance.state(statement)
    assert session.calls == (1, 1)
    assert session.covers(statement)
    assert not session.covers(statement + 1)


def test_statements_follow_the_spending() -> None:
    session, statements = Waiting(10**6), []
    for total in (10, 200, 2000, 2010, 2020, 2030, 2040, 2050, 2060):
        session.covers(total, 10)
        statements.append(session.stated() - total)
    assert statements == [160, 320, 640, 320, 160, 80, 40, 20, 20]


def test_a_smaller_statement_holds_before_the_copy_has_it() -> None:
    session = Waiting(10**6)
    session.covers(16)
    most = session.stated()
    session.covers(16)
    assert session.allowance.next_statement() < most
    assert not session.covers(most)


@given(limit=st.integers(0, 200), totals=st.lists(st.tuples(st.integers(0, 200), st.booleans())))
def test_no_more_than_the_last_statement_nor_the_budget_is_ever_covered(
    limit: int, totals: list[tuple[int, bool]]
) -> None:
    session, in_copy, used = Waiting(limit), 0, 0
    for total, states in totals:
        if session.covers(total):
            used = total
        assert used <= in_copy <= limit
        if states:
            in_copy = session.stated()
        assert used <= in_copy <= limit
