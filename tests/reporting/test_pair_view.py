import io
from dataclasses import replace

import pytest
from rich.console import Console

from clairgen.records import (
    Answer,
    Contrast,
    FilterAction,
    Finding,
    Message,
    Pair,
    ParseStatus,
    StoredPair,
    Task,
    Undecided,
)
from clairgen.reporting.diff import word_diff
from clairgen.reporting.pair_view import PairView, diff_text
from tests.reporting.made import ALLUDES, TOO_LONG, stored_pair


def printed(stored: StoredPair, *, width: int = 100, colour: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=colour, color_system="truecolor" if colour else None)
    console.print(PairView(stored))
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_everything_about_a_pair_is_shown(width: int) -> None:
    text = " ".join(printed(stored_pair(findings=[ALLUDES, TOO_LONG]), width=width).split())
    for part in (
        "pair-1 clair task task-1",
        "prompt: system",
        "Be brief.",
        "prompt: user",
        "Where is the cat?",
        "Say what the cat did.",
        "teacher, finish reason stop",
        "student, finish reason stop",
        "treebank",
        "mentions-revision (filter revision_mention): corrected",
        "too-long (filter length-ratio): 4.8",
    ):
        assert part in text


def test_without_colour_the_diff_has_brackets() -> None:
    assert "The cat [-sat-]{+slept+} on [-a-]{+the+} mat." in printed(stored_pair())


def test_with_colour_removed_is_red_and_struck_and_added_green() -> None:
    text = printed(stored_pair(), colour=True)
    assert "\x1b[9;31msat\x1b[0m\x1b[32mslept\x1b[0m" in text
    assert "[-" not in text


def test_no_color_has_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "[-sat-]{+slept+}" in printed(stored_pair(), colour=True)


def test_a_pair_is_kept_or_says_why_not() -> None:
    assert "kept" in printed(stored_pair())
    dropped = printed(stored_pair(findings=[TOO_LONG]))
    assert "dropped" in dropped
    assert "kept" not in dropped


def test_a_pair_without_a_chosen_answer_shows_the_rejected_one_and_why() -> None:
    text = printed(stored_pair(None, reason=ParseStatus.EMPTY_SOLUTION))
    assert "The cat sat on a mat." in text
    assert "none: empty-solution" in text
    assert "kept" not in text


def test_undecided_answers_and_a_reply_that_could_not_be_parsed_are_shown_as_what_they_are() -> None:
    stored, other = stored_pair(None), Answer("{", "stop", "key", "teacher")
    [cat] = stored.outcome.replies if isinstance(stored.outcome, Undecided) else ()
    # The same reason may be a judge's or a reviser's.
    tie = Undecided("task-1", "judge-on-policy", ParseStatus.BROKEN_JSON, (cat, other))
    text = printed(replace(stored, outcome=tie))
    assert text.index("one answer (1)") < text.index("The cat sat") < text.index("the other answer (2)")
    broken = Undecided("task-1", "clair", ParseStatus.BROKEN_JSON, (cat,), other)
    text = printed(replace(stored, outcome=broken))
    assert text.index("The cat sat") < text.index("the reply that could not be parsed") < text.index("{")


def test_the_check_that_a_revision_still_fails_is_named() -> None:
    stored = stored_pair()
    assert "failed check" not in printed(stored)
    failing = printed(replace(stored, outcome=replace(stored.outcome, failed_check="length-ratio")))
    assert failing.split("failed check")[1].split()[0] == "length-ratio"


def test_changes_of_whitespace_alone_can_be_seen() -> None:
    assert diff_text(word_diff("a\nb", "a\n\nb"), colored=False).plain == "a\n{+↵\n+}b"
    assert diff_text(word_diff("a  b", "a b"), colored=False).plain == "a [-·-]b"


def test_hostile_text_anywhere_does_no_harm() -> None:
    bad = "\x1b]0;title\x07\x1b[2J[red][/]\u202e\x00\ud800\x9b"
    stored = StoredPair(
        id=bad,
        task=Task(bad, (Message(bad, bad),)),
        outcome=Pair(bad, bad, Answer(bad + "x", bad, "", bad), Answer(bad + "y", bad, "", bad), bad),
        contrast=Contrast(1, 0.5, None, bad),
        findings=(Finding(bad, FilterAction.MARK, bad, bad),),
    )
    text = printed(stored, width=400)
    text.encode()
    assert not set("\x1b\x07\u202e\x00\x9b") & set(text)
    assert text.count(r"\x1b]0;title\x07\x1b[2J[red][/]\u202e\x00\ud800\x9b") == 15
