"""Parsers, filters and metrics take time in proportion to their texts, whatever these repeat.

Each function reads texts of repeated fragments, ten times as long the second time. The ratio of the processor times is about 10
where time is in proportion to length, 100 where it grows with its square; bounds on time itself would fail on a busy machine.
The texts are as long as those that are still read in the process that runs the tasks, and each fragment stands in one of them
for a reader; `make fuzz` tries texts five times as long, of every fragment after every start and before every end.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, product
from types import FrameType

import pytest

from clairgen.evaluation.answer_rules import stated_letter
from clairgen.evaluation.mixeval_judge import parse_choice, parse_grade
from clairgen.evaluation.stated_numbers import last_number
from clairgen.filters.filter import Candidate, Check
from clairgen.filters.language import changes_language
from clairgen.filters.lost_answer import loses_answer
from clairgen.filters.markup import embedded_markup
from clairgen.filters.refusal import refuses
from clairgen.filters.revision_mention import mentions_revision
from clairgen.long_texts import LONG_CHARACTERS
from clairgen.metrics.contrast import TOKENIZERS, token_jaccard
from clairgen.parsing.judge_language import is_verdict_line
from clairgen.parsing.revision import parse_revision
from clairgen.parsing.rubric_reply import Scale, parse_rubric_reply
from clairgen.parsing.verdict import parse_verdict
from clairgen.records import Answer, Message, Pair
from clairgen.reporting.sanitize import plain_text
from clairgen.reporting.surface_features import surface_features
from clairgen.thinking import separate, without_thinking

DEEPLY = "FUZZ_TEXT_LENGTH" in os.environ
LENGTH = int(os.environ.get("FUZZ_TEXT_LENGTH", LONG_CHARACTERS))
LENGTH_OF_VERDICTS = 10_000
"""Of longer replies only so much is read."""
MOST_RATIO = 60
"""Where time is in proportion it is 10, or up to 50 where long texts are read in another way; a square makes it 100."""
SECONDS_NOT_COMPARED = 0.05
"""A long text that takes less is fast enough; the ratio of two such times is noise."""
TICK = 0.004
"""Seconds in which the kernel counts processor time while a timer of it runs; less is counted as none."""
SECONDS = 10.0
"""The processor time after which a long text is given up: linear functions take less than one second."""

SCALES = (Scale("clear", 1, 5), Scale("correct", 1, 5))

Read = Callable[[str], object]

RUNS = (
    "-",
    " ",
    "\n",
    "\t",
    "x",
    "1",
    "=",
    "`",
    "*",
    "_",
    "[",
    "{",
    "}",
    '"',
    "'",
    ".",
    ">",
    "#",
    ":",
    "(",
    "|",
    ",",
    "$",
    "<",
)
WORDS = (
    "[1] ",
    "```\n",
    "x\n",
    "answer is ",
    "The answer:",
    "final ",
    "better ",
    "the revised ",
    '{"',
    "\\boxed{",
    "\\boxed{}",
)


def unlike(chosen: str, rejected: str, prompt: str = "A question.") -> Candidate:
    """A pair of two texts."""
    pair = Pair("t", "clair", Answer(chosen, "stop", "k"), Answer(rejected, "stop", "k"))
    return Candidate(pair, prompt=[Message("user", prompt)])


def either(check: Check, other: str) -> Read:
    """A check of the text as each answer of a pair beside another answer."""
    return lambda text: (check(unlike(text, other)), check(unlike(other, text)), check(unlike(text, text, text)))


READERS: dict[str, tuple[Read, tuple[str, ...], tuple[str, ...]]] = {
    "parse_revision": (
        lambda text: (parse_revision(text, ""), parse_revision("{corrected_student_solution}:\n" + text, text)),
        ("",),
        (
            "{teacher_reasoning}: ",
            "{corrected_student_solution}:\n",
            "</teacher_reasoning>",
            '{"teacher_reasoning": ',
            "~~~\n",
        ),
    ),
    "parse_verdict": (
        lambda text: (parse_verdict(text), parse_verdict(text, (text, text))),
        ("", "> ", "answer: 1", "[1]"),
        ("[1] or ", "either ", "references\n", "solution 1 ", "\\boxed ", '"1": "'),
    ),
    "parse_verdict of a member": (
        lambda text: parse_verdict('{"verdict": "' + text.replace("\\", "").replace('"', "") + '"}'),
        ("", "answer: 1", "[1]"),
        ("solution ", "the "),
    ),
    "parse_rubric_reply": (
        lambda text: (parse_rubric_reply(text, SCALES), parse_rubric_reply("{scores}:\n" + text, SCALES)),
        ("", "{scores}:\n", "clear: "),
        (
            "clear: 3\n",
            '{"clear": 3}\n',
            '{"clear": {\n',
            "clear (",
            "clear - ",
            "{scores}",
            "3 / 5 ",
            "| clear | 3 |\n",
        ),
    ),
    "parse_grade": (lambda text: (parse_grade(text), parse_choice(text)), ("", "[["), ("[[1", "[[1.", "[A]", "[[A")),
    "is_verdict_line": (is_verdict_line, ("", "> ", "answer:"), ()),
    "without_thinking": (
        lambda text: without_thinking(text, text),
        ("", "<think>"),
        ("<think>", "</think>", "<think></think>"),
    ),
    "separate": (
        lambda text: (separate(text), separate(text, text), separate(text, "y" * len(text))),
        ("", "<|channel|>"),
        ("<think>", "</think>", "<think></think>", "<|channel|>final<|message|>", "<|im_end|>", "<|channel|>a"),
    ),
    "lost_answer": (
        either(loses_answer, "The answer is 42."),
        ("", "The answer is:", "#### ", "="),
        ("= 1", "1, ", "def f(x):\n", "```x\ny\n```\n"),
    ),
    "refusal": (either(refuses, "I can't help with that. "), ("", "I can't help. "), ("but ", "A ", "it is wrong or ")),
    "revision_mention": (
        either(mentions_revision, "A fine text."),
        ("", "here is "),
        ("here is the revised answer ", "this revised x ", "find a "),
    ),
    "language": (either(changes_language, "Ein Satz."), ("",), ("https://", "www.")),
    "embedded_markup": (either(embedded_markup, "A fine text."), ("",), ("<|im_end|>", "</s>", "<s>", "`</think>")),
    "token_jaccard": (
        lambda text: [token_jaccard(text, text[1:], tokenizer) for tokenizer in TOKENIZERS],
        ("",),
        ("cannot", "n't ", "...", "--", "'' "),
    ),
    "surface_features": (surface_features, ("", "|"), ("| ", "|x", "**x", "- ")),
    "plain_text": (plain_text, ("",), ("\u200d", "\x1b")),
    "last_number": (last_number, ("", "1"), ("1,234", "1/", "\\frac{1}{", "1e5 ", "1:2", "2^9", "1 × 10^")),
    "stated_letter": (stated_letter, ("", "answer"), ("(", "answer is (A ", "\\boxed{", "A, ", "answer **")),
}


def seconds(read: Read, text: str) -> float:
    """Processor seconds, given up at `SECONDS` where the platform has such a timer."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    if sys.platform != "win32":
        signal.signal(signal.SIGPROF, give_up)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
    start = time.process_time()
    try:
        read(text)
    except TimeoutError:
        return float("inf")
    finally:
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_PROF, 0)
    return time.process_time() - start


def is_linear(read: Read, short: str, long: str) -> bool:
    """Whether ten times the text takes about ten times the time."""
    for _ in range(3):  # a busy machine may disturb one measurement, not all
        taken = seconds(read, long)
        if taken == float("inf"):
            return False
        if taken <= SECONDS_NOT_COMPARED or taken <= MOST_RATIO * max(TICK, seconds(read, short)):
            return True
    return False


def thinned(starts: Sequence[str], fragments: Sequence[str], ends: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Each fragment once, in turn after each start and before each end."""
    for fragment, (start, end) in zip(fragments, cycle(product(starts, ends)), strict=False):
        yield start, fragment, end


def superlinear(name: str, texts: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """The texts (start, fragment, end) on which a reader is not linear."""
    read = READERS[name][0]
    length = LENGTH_OF_VERDICTS if name.startswith("parse_verdict") else LENGTH
    for start, fragment, end in texts:
        short, long = (start + fragment * (part // len(fragment)) + end for part in (length // 10, length))
        if not is_linear(read, short, long):
            yield start, fragment, end


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_time_is_in_proportion_to_repeated_characters(name: str) -> None:
    assert next(superlinear(name, product(READERS[name][1], ("-", " ", "\n"), ("x",))), None) is None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", READERS)
def test_time_is_in_proportion_to_repeated_fragments(name: str) -> None:
    pairs = tuple(first + second for first in ("-", " ", "\n", "[1]") for second in ("x", "answer: ", "`"))
    texts = (product if DEEPLY else thinned)(
        READERS[name][1], (*RUNS, *WORDS, *pairs, *READERS[name][2]), ("x", "\n[1]")
    )
    assert next(superlinear(name, texts), None) is None


@pytest.mark.parametrize("text", ["> " + "-" * 6000 + "x\n[1]", '{"verdict": "' + " " * 20_000 + 'x"}'])
def test_no_judge_s_reply_takes_longer_than_a_second(text: str) -> None:
    assert seconds(parse_verdict, text) < 1


def test_lines_of_code_are_looked_for_in_linear_time() -> None:
    def read(text: str) -> object:
        return loses_answer(unlike("x" + text.replace("\n", "x"), f"```python\n{text}```"))

    def numbered(count: int) -> str:
        return "".join(f"{number}y\n" for number in range(count))

    short, long = numbered(1_500), numbered(15_000)
    assert seconds(read, long) < SECONDS_NOT_COMPARED + MOST_RATIO * seconds(read, short)
