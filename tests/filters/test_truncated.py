from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.truncated import truncated, truncated_reply
from clairgen.records import ParseStatus, Undecided
from tests.filters.pairs import answer, pair, undecided

CUT = answer("Cut", finish_reason="length")


def test_the_reason_names_the_answer_that_was_cut_off() -> None:
    assert truncated(Candidate(pair())) is None
    assert truncated(Candidate(pair(chosen=CUT))) == Fault("chosen-truncated")
    assert truncated(Candidate(pair(rejected=CUT))) == Fault("rejected-truncated")
    assert truncated(Candidate(pair(CUT, CUT))) == Fault("both-truncated")
    assert truncated_reply(undecided(CUT)) == Fault("rejected-truncated")


def test_a_reply_that_was_cut_off_before_its_solution_is_truncated_too() -> None:
    cut = answer("{teacher_reasoning} The", finish_reason="length")
    assert truncated_reply(undecided(unparsed=cut)) == Fault("chosen-truncated")
    assert truncated_reply(undecided(unparsed=answer("{teacher_reasoning} The"))) is None


def test_truncation_of_either_answer_that_judges_compared_is_found() -> None:
    for answers, side in (((CUT, answer()), "rejected"), ((answer(), CUT), "chosen"), ((CUT, CUT), "both")):
        tie = Undecided("t", "judge-on-policy", ParseStatus.DECLARED_TIE, answers)
        assert truncated_reply(tie) == Fault(f"{side}-truncated")
