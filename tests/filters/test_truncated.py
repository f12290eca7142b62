from dataclasses import replace

from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.truncated import truncated, truncated_reply
from tests.filters.pairs import answer, pair

CUT = answer("Cut", finish_reason="length")


def test_the_reason_names_the_answer_that_was_cut_off() -> None:
    assert truncated(Candidate(pair())) is None
    assert truncated(Candidate(pair(chosen=CUT))) == Fault("chosen-truncated")
    assert truncated(Candidate(pair(rejected=CUT))) == Fault("rejected-truncated")
    assert truncated(Candidate(pair(CUT, CUT))) == Fault("chosen-truncated")
    assert truncated_reply(pair(None, CUT)) == Fault("rejected-truncated")


def test_a_reply_that_was_cut_off_before_its_solution_is_truncated_too() -> None:
    cut = replace(pair(chosen=None), unparsed=answer("{teacher_reasoning} The", finish_reason="length"))
    assert truncated_reply(cut) == Fault("chosen-truncated")
    assert truncated_reply(replace(cut, unparsed=answer("{teacher_reasoning} The"))) is None
