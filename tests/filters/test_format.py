from dataclasses import replace

import pytest

from clairgen.filters.filter import Fault
from clairgen.filters.format import without_chosen
from clairgen.records import ParseStatus
from tests.filters.pairs import pair


@pytest.mark.parametrize("status", [status for status in ParseStatus if status is not ParseStatus.OK])
def test_the_parser_s_status_is_the_reason(status: ParseStatus) -> None:
    assert without_chosen(replace(pair(chosen=None), parse_status=status)) == Fault(status.value)


def test_a_pair_without_a_chosen_answer_is_at_fault_even_without_a_status() -> None:
    assert without_chosen(pair(chosen=None)) == Fault("no-chosen-answer")
