import pytest

from clairgen.filters.empty import empty
from clairgen.filters.filter import Candidate, Fault
from tests.filters.pairs import answer, pair


@pytest.mark.parametrize("blank", ["", " \n\t\u00a0\u3000"])
def test_the_reason_names_the_blank_answer(blank: str) -> None:
    assert empty(Candidate(pair())) is None
    assert empty(Candidate(pair(chosen=answer(blank)))) == Fault("chosen-empty")
    assert empty(Candidate(pair(rejected=answer(blank)))) == Fault("rejected-empty")
