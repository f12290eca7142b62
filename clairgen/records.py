"""The records that all packages share: plain frozen values, no input or output.

`chosen` is the better answer of a pair (y_w in the paper) and `rejected` the other one (y_l), from the store to the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from hashlib import sha256
from statistics import fmean
from typing import Any

from clairgen.wording import one_line_repr


class SampleRange(IntEnum):
    """First sample index of each purpose, so that a new purpose never returns the answer of another."""

    DATA = 0
    RETRY = 1_000_000
    ADVISE = 2_000_000
    EVALUATION = 3_000_000
    PROBE = 4_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class EndpointState:
    """One endpoint of a role at one moment; times are seconds from then on, 0 where nothing is waited for.

    `in_flight` are the requests of this role, `in_flight_of_others` those of other sessions and roles that share its slots, of
    which there are `concurrency_limit` now. The rate limits are those kept to now, None without one; `rate_limit_source` is
    "configured", "announced" (by the server), "learned" (from its 429s), or None. `circuit_breaker` is "closed", "open" (nothing
    is sent for `open_seconds`), "half-open" (one request tries whether it works again) or "unusable" (nothing is sent any more).
    `paused_seconds` is the rest of the pause after a 429.
    """

    name: str
    in_flight: int
    in_flight_of_others: int
    concurrency_limit: int
    requests_per_minute: float | None
    tokens_per_minute: float | None
    rate_limit_source: str | None
    circuit_breaker: str
    open_seconds: float
    paused_seconds: float


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """An answer to a task from its data set; `score` is the data set's own, None where it has none."""

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
    """How an answer is drawn. None is "not sent", which the server fills in; it is not the same as any value.

    `api` is what a reward model, which draws nothing, is asked through; None for a chat.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    api: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; None when it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A good answer, kept permanently under its content key.

    Stored is what the model wrote. What `ask` returns is the answer in it; `removed` names what was taken off: thinking, control
    tokens. `thinking` is stored as the server sent it apart from the text, empty where it stands in the text alone, and None
    without any; what `ask` returns has the thoughts themselves. `served_model` and `system_fingerprint` are the server's names
    of the model and of its own version, and `service_tier` of the tier that it used, if it gave any.
    """

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
    removed: tuple[str, ...] = ()
    served_model: str | None = None
    system_fingerprint: str | None = None
    thinking: str | None = None
    service_tier: str | None = None


class ParseStatus(StrEnum):
    """What the parser made of a reply, or judges and scores of two answers. Everything but OK is a reason for `Undecided`."""

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
    BELOW_MARGIN = "below-margin"
    MISSING_SCORE = "missing-score"
    NO_SCORES = "no-scores"
    MISSING_CRITERION = "missing-criterion"
    UNKNOWN_CRITERION = "unknown-criterion"
    REPEATED_CRITERION = "repeated-criterion"
    SCORE_NOT_A_NUMBER = "score-not-a-number"
    SCORE_OUT_OF_RANGE = "score-out-of-range"


SPACE = "space"
"""Among what was removed from an answer: white space before or after it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a pair: its text, and the finish reason ("stop", "length", ...), key and model of its completion.

    `removed` names what was taken off the completion's text: `thinking`, control tokens by themselves, and `space` around it.
    """

    text: str
    finish_reason: str
    key: str
    model: str = ""
    removed: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """The key of its completion; of an answer without one, which a data set recorded, the sha256 of its text."""
        return self.key or sha256(self.text.strip().encode("utf-8", "surrogatepass")).hexdigest()


class Variant(StrEnum):
    """The variants of APO (section 4): for winners that are better than the model, and for winners that are worse."""

    APO_ZERO = "apo-zero"
    APO_DOWN = "apo-down"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's verdict on two answers to a task, in the order in which they were shown.

    `key` is the judge's completion. `shown_first` and `shown_second` say which answer of the task (1 or 2) stood in the first
    and in the second position; `choice` is the position that the judge chose, None unless `status` is OK. `round` numbers
    the comparisons of one task, from 0.
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
        """The answer of the task that was chosen, 1 or 2; None without a choice."""
        return None if self.choice is None else (self.shown_first, self.shown_second)[self.choice - 1]


OVERALL = "overall"
"""The criterion of the score by which answers are compared: a rubric's weighted total, or the one number of a reward model."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one scorer gave one answer to a task for one criterion; higher is better.

    `answer` is the answer's `identity`. `criterion` is one of a rubric, or OVERALL. `scorer` is the role that gave the score and
    `key` its completion, empty where a model gave a number and no text. `value` is None unless `status` is OK: a reply that
    could not be read has such a score for every criterion. `parser_version` is None where nothing had to be parsed.
    `reasoning` is that of the whole reply, which its overall score alone has.
    """

    answer: str
    criterion: str
    value: float | None
    scorer: str
    key: str = ""
    status: ParseStatus = ParseStatus.OK
    parser_version: int | None = None
    reasoning: str | None = None


def overall_score(answer: Answer, scores: tuple[Score, ...]) -> float | None:
    """An answer's overall score, the mean over its scorers; None without a scorer, or where one gave none."""
    values = [score.value for score in scores if score.criterion == OVERALL and score.answer == answer.identity]
    given = [value for value in values if value is not None]
    return fmean(given) if given and len(given) == len(values) else None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to a task of which one is better, as a recipe made them.

    `judgements` and `scores` are what the choice rests on, where judges or scorers made it; there are scores of all answers that
    were compared, which may be more than two. `reasoning` is the reviser's or a judge's, where there
    is one. `parser_version` is None where nothing had to be parsed. `retried` is whether a revision failed its check and was
    requested once more, `failed_check` names the check that the pair still fails.
    """

    task_id: str
    recipe: str
    chosen: Answer
    rejected: Answer
    reasoning: str | None = None
    parser_version: int | None = None
    judgements: tuple[Judgement, ...] = ()
    retried: bool = False
    failed_check: str | None = None
    scores: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class Undecided:
    """What a recipe made of a task when none of its answers can be called better: `reason` says why, and is never OK.

    `answers` are answers to the task: the two that judges or scores compared without deciding, or the one that was to be
    revised. `unparsed` is the reviser's whole reply when no revision could be read in it, else None. The other fields are
    those of `Pair`.
    """

    task_id: str
    recipe: str
    reason: ParseStatus
    answers: tuple[Answer] | tuple[Answer, Answer]
    unparsed: Answer | None = None
    reasoning: str | None = None
    parser_version: int | None = None
    judgements: tuple[Judgement, ...] = ()
    retried: bool = False
    failed_check: str | None = None
    scores: tuple[Score, ...] = ()

    @property
    def replies(self) -> tuple[Answer, ...]:
        """The answers, and after them the reply that could not be parsed."""
        return self.answers if self.unparsed is None else (*self.answers, self.unparsed)


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
    """What a filter does to a pair that it finds something in: leave it out of exports, or only mark it."""

    DROP = "drop"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a filter found in a pair: which filter, what it does about it, the named reason and the measured value."""

    filter: str
    action: FilterAction
    reason: str
    value: float | str | None


@dataclass(frozen=True, slots=True)
class StoredPair:
    """What a recipe made of a task, as the store holds it: with its measured contrast and what the filter set in force found.

    `contrast` is None when the outcome is undecided, or was measured by an older version and has to be measured again.
    `findings` are those of the filter set `filter_set`, in the order of the filters. `objective` is what `clairgen advise` chose
    for this pair, None without advice. `source_columns` are what an imported pair's row has besides prompt and answers.
    """

    id: str
    task: Task
    outcome: Pair | Undecided
    contrast: Contrast | None
    findings: tuple[Finding, ...]
    objective: Variant | None = None
    filter_set: int | None = None
    source_columns: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        undecided = [self.outcome.reason.value] if isinstance(self.outcome, Undecided) else []
        found = [f"{finding.reason} ({finding.action.value})" for finding in self.findings]
        return one_line_repr(self, self.id, self.outcome.recipe, f"task {self.task.id}", *undecided, *found)

    @property
    def version(self) -> str:
        """A digest of its answers, which is another one once the pair gets other answers."""
        outcome = self.outcome
        answers = (outcome.chosen, outcome.rejected) if isinstance(outcome, Pair) else outcome.replies
        return sha256(" ".join(answer.identity for answer in answers).encode()).hexdigest()[:16]

    @property
    def dropped_by(self) -> Finding | None:
        """The finding that counts as the reason why this pair is dropped; None when no filter drops it."""
        for finding in self.findings:
            if finding.action is FilterAction.DROP:
                return finding
        return None
