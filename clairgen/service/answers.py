"""The objects that the HTTP API answers with, beside records of the store; their fields are a stable interface."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from clairgen.records import Answer, Contrast, FilterAction, Finding, Message, Pair, Score, StoredPair, Variant
from clairgen.reporting.report import reason_for_dropping
from clairgen.service.pair_indexes import index_words
from clairgen.service.pair_pages import PairPage, PairRequest, WholePair
from clairgen.store import CastVote, JudgeReply, PairCount, ScoreReply, Thoughts

_LONGEST_PROMPT: Final = 300


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was not done, in one sentence."""

    detail: str


PROBLEMS: Final[Mapping[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (400, "The request is not understood, or cannot be done as it is."),
        (401, "A valid token is needed."),
        (403, "The token, or the service, does not allow this; or the request comes from another site."),
        (404, "There is no run, pair, job or file of this name."),
        (408, "The request did not arrive in time."),
        (409, "The run is in use, or not as it should be, or its index is not ready."),
        (410, "Another process has what this member of a group had."),
        (413, "The body is too large."),
        (421, "The service does not answer under this host name."),
        (422, "A field or parameter is wrong."),
        (425, "A message of a member came a second time; it is to send the next one."),
        (429, "Too many requests; Retry-After says for how long."),
        (503, "The database cannot be read or written."),
    )
}
"""The answers that any request may get in place of its own."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in the list: its state in words, its pairs by recipe and status, dollars spent; `problem` if it cannot be read.

    `running` is whether a session is in progress.
    """

    name: str
    state: str
    pairs: dict[str, dict[str, int]]
    spent_usd: float
    running: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class PairLine:
    """A pair in a page: its prompt's last message, shortened; why it is dropped, null for a kept one; its marks and contrast."""

    id: str
    recipe: str
    task_id: str
    prompt: str
    dropped: str | None
    marks: list[str]
    contrast: Contrast | None

    @classmethod
    def of(cls, stored: StoredPair) -> "PairLine":
        """The line of a stored pair."""
        last = stored.task.messages[-1].content if stored.task.messages else ""
        marks = [found.reason for found in stored.findings if found.action is FilterAction.MARK]
        return cls(
            stored.id,
            stored.outcome.recipe,
            stored.task.id,
            last if len(last) <= _LONGEST_PROMPT else f"{last[:_LONGEST_PROMPT]}…",
            reason_for_dropping(stored),
            list(dict.fromkeys(marks)),
            stored.contrast,
        )


@dataclass(frozen=True, slots=True)
class PairLines:
    """A page of pairs; `after` and `before` are the parameters that ask for the next and the previous page, null without one.

    `count` is how many pairs all pages have, and how exact that is; null where it is not known. `index` is what is to be said of
    an index that does not have all pairs yet, null for one that has.
    """

    pairs: list[PairLine]
    after: str | None
    before: str | None
    count: PairCount | None
    index: str | None

    @classmethod
    def of(cls, page: PairPage) -> "PairLines":
        """The lines of a page. Raises what was wrong with what was asked for."""
        if page.fault is not None:
            raise page.fault
        return cls(
            [PairLine.of(one) for one in page.pairs], page.after, page.before, page.count, index_words(page.index)
        )


@dataclass(frozen=True, slots=True)
class RequestObject:
    """A request that a pair was made of, in the order in which they were answered.

    `purpose` is chosen, rejected, or request-N for another step. `text` is what the model wrote, and `thinking` what came apart
    from it, if anything.
    """

    purpose: str
    role: str
    model: str
    sample: int
    messages: list[Message]
    text: str
    thinking: str | None
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_seconds: float
    cost_usd: float | None
    created_at: str

    @classmethod
    def of(cls, request: PairRequest) -> "RequestObject":
        """The object of a request."""
        done = request.completion
        return cls(
            purpose=request.purpose,
            role=done.role,
            model=done.model,
            sample=done.sample,
            messages=list(request.messages),
            text=done.text,
            thinking=done.thinking,
            finish_reason=done.finish_reason,
            prompt_tokens=done.usage.prompt_tokens,
            completion_tokens=done.usage.completion_tokens,
            latency_seconds=done.latency_seconds,
            cost_usd=done.cost_usd,
            created_at=done.created_at,
        )


@dataclass(frozen=True, slots=True)
class PairObject:
    """A pair whole. `chosen` and `rejected` are null where nothing was decided: `answers` and `unparsed` then have the texts.

    `findings` have what filters found, `judge_replies`, `score_replies` and `thoughts` what models wrote besides, `requests` all
    requests that it took. `previous` and `next` are the ids of the pairs beside it. `version` is another one once the pair gets
    other answers; a vote may name it.
    """

    id: str
    version: str
    recipe: str
    task_id: str
    prompt: list[Message]
    chosen: Answer | None
    rejected: Answer | None
    answers: list[Answer]
    unparsed: Answer | None
    dropped: str | None
    reasoning: str | None
    failed_check: str | None
    contrast: Contrast | None
    findings: list[Finding]
    scores: list[Score]
    judge_replies: list[JudgeReply]
    score_replies: list[ScoreReply]
    thoughts: list[Thoughts]
    requests: list[RequestObject]
    votes: list[CastVote]
    objective: Variant | None
    source_columns: dict[str, Any]
    previous: str | None
    next: str | None

    @classmethod
    def of(cls, whole: WholePair) -> "PairObject":
        """The object of a pair that was read whole."""
        stored, outcome = whole.stored, whole.stored.outcome
        pair = outcome if isinstance(outcome, Pair) else None
        undecided = None if isinstance(outcome, Pair) else outcome
        return cls(
            id=stored.id,
            version=stored.version,
            recipe=outcome.recipe,
            task_id=stored.task.id,
            prompt=list(stored.task.messages),
            chosen=None if pair is None else pair.chosen,
            rejected=None if pair is None else pair.rejected,
            answers=[] if undecided is None else list(undecided.answers),
            unparsed=None if undecided is None else undecided.unparsed,
            dropped=reason_for_dropping(stored),
            reasoning=outcome.reasoning,
            failed_check=outcome.failed_check,
            contrast=stored.contrast,
            findings=list(stored.findings),
            scores=list(outcome.scores),
            judge_replies=whole.judge_replies,
            score_replies=whole.score_replies,
            thoughts=whole.thoughts,
            requests=[RequestObject.of(request) for request in whole.requests],
            votes=whole.votes,
            objective=stored.objective,
            source_columns=dict(stored.source_columns),
            previous=whole.previous,
            next=whole.next,
        )


def answered_as(media_type: str) -> dict[str, Any]:
    """What describes a route whose answer is not JSON: its errors are JSON all the same."""
    return {"response_class": Response, "responses": {200: {"content": {media_type: {}}}}}


class Answered(JSONResponse):
    """JSON in ASCII, so that any text can be sent, also half of a surrogate pair that a data set had."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - whatever a route answers
        """The body."""
        return in_ascii(content).encode("ascii")


def in_ascii(content: object) -> str:
    """An answer as JSON in ASCII."""
    return json.dumps(_plain(content), allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of the answers
    """A value as JSON can have it: records become objects, and numbers that are none become text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
