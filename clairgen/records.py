"""The nouns that every floor shares: plain frozen values, no input or output.

`chosen` is the better answer of a pair (y_w in the paper) and `rejected` the other one (y_l), from the store to the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any


class SampleRange(IntEnum):
    """First sample index of each purpose, so that a new purpose never returns the answer of another."""

    DATA = 0
    REASK = 1_000_000
    ADVISE = 2_000_000
    EVALUATION = 3_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """An answer to a task that its data set brought along; `score` is the data set's own, None where it has none."""

    text: str
    model: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt x that the models answer: one user message, or a whole conversation that ends with the user."""

    id: str
    messages: tuple[Message, ...]
    answers: tuple[RecordedAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn. None is "not sent", which the server fills in; it is not the same as any value."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; None when it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A good answer, kept for ever under its content key."""

    key: str
    role: str
    model: str
    revision: str | None
    sample: int
    text: str
    finish_reason: str
    usage: Usage
    latency_seconds: float
    endpoint: str
    response_id: str | None
    cost_usd: float | None
    created_at: str


class ParseStatus(StrEnum):
    """What the parser made of an answer, or a judge of two. Everything but OK means no chosen answer, for a named reason."""

    OK = "ok"
    NO_SOLUTION_HEADER = "no-solution-header"
    EMPTY_SOLUTION = "empty-solution"
    HEADER_ONLY_IN_REASONING = "header-only-in-reasoning"
    UNCLOSED_THINKING = "unclosed-thinking"
    BROKEN_JSON = "broken-json"
    SOLUTION_NOT_TEXT = "solution-not-text"
    ECHOED_PROMPT = "echoed-prompt"
    NO_VERDICT = "no-verdict"
    CONTRADICTORY_VERDICT = "contradictory-verdict"
    DECLARED_TIE = "declared-tie"
    TIE_BETWEEN_ORDERS = "tie-between-orders"
    TIE_BETWEEN_JUDGES = "tie-between-judges"
    EQUAL_SCORES = "equal-scores"
    MISSING_SCORE = "missing-score"


@dataclass(frozen=True, slots=True)
class Answer:
    """One side of a pair: the text, and of the completion that it came from the end ("stop", "length", ...), key and model."""

    text: str
    finish_reason: str
    key: str
    model: str = ""


class Variant(StrEnum):
    """The variants of APO (section 4): for winners that are better than the model, and for winners that are worse."""

    APO_ZERO = "apo-zero"
    APO_DOWN = "apo-down"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's verdict over the two answers of a task, in the order in which they were shown.

    `key` is the judge's completion, `shown_first` and `shown_second` tell which answer of the task stood where (1 or 2),
    `choice` is the place that it chose, None unless `status` is OK. `round` counts where there are several comparisons.
    """

    role: str
    key: str
    shown_first: int
    shown_second: int
    choice: int | None
    status: ParseStatus
    reasoning: str | None
    parser_version: int
    round: int = 0

    @property
    def winner(self) -> int | None:
        """The answer of the task that it chose: 1 or 2."""
        return None if self.choice is None else (self.shown_first, self.shown_second)[self.choice - 1]


@dataclass(frozen=True, slots=True)
class Pair:
    """What a recipe makes of a task.

    `chosen` is None when the answer that should hold it could not be parsed; `parse_status` then says why and `unparsed` is
    that answer, whole. Where a judge did not decide, `rejected` and `unparsed` are the two answers that it was shown.
    `judgements` are what the choice rests on, where a judge made it. `reasoning` is the teacher's, where there is one.
    `parser_version` is None where nothing had to be parsed. `reasked` tells that a revision missed what was asked for and
    was asked for once more, `missed` names what the pair still misses.
    """

    task_id: str
    recipe: str
    chosen: Answer | None
    rejected: Answer
    reasoning: str | None = None
    parse_status: ParseStatus = ParseStatus.OK
    parser_version: int | None = None
    unparsed: Answer | None = None
    judgements: tuple[Judgement, ...] = ()
    reasked: bool = False
    missed: str | None = None


@dataclass(frozen=True, slots=True)
class Contrast:
    """How much the two answers of a pair differ (Section 3, Table 1 of the paper); see `clairgen.metrics.contrast`.

    `jaccard` is between 0 and 1 under the tokenizer named in `tokenizer`; `levenshtein` counts character edits;
    `length_ratio` is characters of chosen over characters of rejected, None when rejected is empty.
    """

    levenshtein: int
    jaccard: float
    length_ratio: float | None
    tokenizer: str


class FilterAction(StrEnum):
    """What a filter does to a pair that it finds at fault: take it out of exports, or only mark it."""

    DROP = "drop"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Finding:
    """A filter found fault with a pair: which filter, what it does about it, the named reason and the measured value."""

    filter: str
    action: FilterAction
    reason: str
    value: float | str | None


@dataclass(frozen=True, slots=True)
class StoredPair:
    """A pair as the store holds it: with its task, its measured contrast and what the filter set in force found.

    `contrast` is None when the pair has no chosen answer, or was measured by an older version and has to be measured anew.
    `findings` stand in the order of the filters. `objective` is what `clairgen advise` chose for this pair, None without advice.
    """

    id: str
    task: Task
    pair: Pair
    contrast: Contrast | None
    findings: tuple[Finding, ...]
    chosen_model: str | None
    rejected_model: str
    objective: Variant | None = None

    @property
    def dropped_by(self) -> Finding | None:
        """The finding that counts as the reason why this pair is dropped; None when the pair is kept."""
        return next((finding for finding in self.findings if finding.action is FilterAction.DROP), None)
