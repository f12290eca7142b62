import pytest

from clairgen.filters.filter import Fault
from clairgen.filters.format import without_chosen
from clairgen.records import ParseStatus
from tests.filters.pairs import undecided


@pytest.mark.parametrize("status", [status for status in ParseStatus if status is not ParseStatus.OK])
def test_the_parser_s_status_is_the_reason(status: ParseStatus) -> None:
    assert without_chosen(undecided(reason=status)) == Fault(status.value)
