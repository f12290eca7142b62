"""The endpoints of one role: slots for its requests, when the role is given up, and prompts that a server cut unasked."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from clairgen.errors import EndpointsError, RequestFailedError, UnclearRejectionError, UnusableEndpointError
from clairgen.inference.endpoint import Endpoint
from clairgen.inference.registered import ServerWatch
from clairgen.inference.retry import Retries, Traffic, stoppable
from clairgen.inference.runtime import Runtime
from clairgen.inference.scheduler import Reserve, Scheduler
from clairgen.keys import digest
from clairgen.records import EndpointState, Usage
from clairgen.wording import counted

_BYTES_PER_TOKEN = 4
_NEWEST = 0.05  # weight of one answer in the moving average of their tokens
_SAME_FAILURES_AT_START = 10
_SAME_FAILURES_LATER = 50
_OF_THE_PROMPT = frozenset(
    {
        "bad-request",
        "content-filter",
        "content-policy",
        "context-overflow",
        "missing-result",
        "refusal",
        "request-too-large",
        "result-lost",
        "result-unreadable",
        "tool-call",
        "truncated",
    }
)
"""Reasons that concern one prompt, however many of a data set have it: they say nothing about the endpoints."""
PATIENCE_RATE_LIMITED_SECONDS = 3600.0
"""How long nothing but 429s, or no capacity, is waited out: beyond it is a daily limit, or a shared account."""
CHARACTERS_PER_TOKEN = 6.0  # of a whole text; tokenizers in use have 1 to 5 in every language
FEWEST_TOKENS = 256  # shorter contexts are not in use, while short prompts of one length are common
PROMPTS = 3
_CAPACITY_TO_COME = 4096  # requests at once, where it is not known how many servers there will be


@dataclass(frozen=True, slots=True)
class ComingEndpoints:
    """Endpoints that come and go: what finds the URLs that there are now, as in `ServerWatch`, and what opens one."""

    sources: Sequence[Callable[[], AbstractSet[str]]]
    opened: Callable[[str], Endpoint]


class Pool:
    """The endpoints of a role, with those that are `coming` as they are found.

    `patience_seconds` is how long all of them may fail before the run stops.
    Once `stop` is set, no more slots are given out. `note` is given sentences for the user.
    """

    def __init__(
        self,
        role: str,
        endpoints: Sequence[Endpoint],
        runtime: Runtime,
        stop: asyncio.Event,
        note: Callable[[str], None],
        *,
        answer_tokens: int,
        patience_seconds: float,
        coming: ComingEndpoints | None = None,
    ) -> None:
        self.role = role
        self.endpoints = list(endpoints)
        self.clock = runtime.clock
        self.sleep = stoppable(runtime.sleep, stop)
        self._random = runtime.random
        self._note = note
        self._answer_tokens = float(answer_tokens)
        self._patience_seconds = patience_seconds
        self._scheduler = Scheduler(
            self.endpoints, clock=runtime.clock, sleep=runtime.sleep, stop=stop, check=self._check_patience
        )
        self._same_failures: tuple[str, int] = ("", 0)
        self._traffic = Traffic()
        self._cut_prompts = CutPrompts()
        self._noted_outage = False
        self._accepted_sent_at = -math.inf
        self._coming = coming
        self._came: dict[str, Endpoint] = {}
        self._without_since: float | None = None
        self._watch: ServerWatch | None = None
        if coming is not None:
            self._watch = ServerWatch(role, coming.sources, self._looked, runtime.sleep, note)

    @property
    def capacity(self) -> int:
        """The most requests that may ever be in flight over all endpoints."""
        known = sum(endpoint.most_ever for endpoint in self.endpoints)
        return known if self._coming is None else max(known, _CAPACITY_TO_COME)

    @property
    def in_flight(self) -> int:
        """Requests in flight now."""
        return sum(endpoint.in_flight for endpoint in self.endpoints)

    @property
    def pending(self) -> int:
        """Requests that have not ended: in flight, or waiting."""
        return self._traffic.pending

    def endpoint_states(self) -> tuple[EndpointState, ...]:
        """Its endpoints at this moment, for people and logs."""
        return tuple(endpoint.state() for endpoint in self.endpoints)

    async def close(self) -> None:
        """Close the pool; nothing may be waiting any more."""
        if self._watch is not None:
            await self._watch.close()
        await self._scheduler.close()

    def request(self) -> Retries:
        """One request; use it as a context manager from its first attempt to its end.

        Raises EndpointsError when one request after the other fails in the same way.
        """
        return Retries(self._random, self._traffic, self._count_failure)

    def acquire(
        self, tokens: int, avoid: Collection[str], reserve: Reserve, *, urgent: bool = False
    ) -> Awaitable[Endpoint]:
        """A slot for a request of this many tokens, together with its money; see `Scheduler.acquire`."""
        return self._scheduler.acquire(tokens, avoid, reserve, urgent=urgent)

    def release(self, endpoint: Endpoint) -> None:
        """Give a slot back."""
        self._scheduler.release(endpoint)

    def expected_tokens(self, body: bytes) -> int:
        """What a request will probably use of a limit of tokens: its prompt and an average answer."""
        return len(body) // _BYTES_PER_TOKEN + int(self._answer_tokens)

    def answered(self, usage: Usage, sent_at: float, prompt: str) -> None:
        """A request with this prompt was answered: failures before it did not concern all of them."""
        if (cut := self._cut_prompts.found(usage.prompt_tokens, prompt)) is not None:
            self._note(
                f"the server of the role {self.role!r} seems to cut long prompts without an error: it counted "
                f"{usage.prompt_tokens:,} tokens for each of {counted(len(cut), 'prompt')} of up to {max(cut):,} characters; "
                "raise its context (Ollama: num_ctx) or leave long prompts out, for their answers are to half a question (at the "
                "end the filter cut_prompt drops such pairs)"
            )
        self._accepted_sent_at = max(self._accepted_sent_at, sent_at)
        if usage.completion_tokens:
            self._answer_tokens += _NEWEST * (usage.completion_tokens - self._answer_tokens)
        self._traffic.answered += 1
        self._same_failures, self._noted_outage = ("", 0), False

    def has_accepted_since(self, sent_at: float) -> bool:
        """Whether a request that was sent later than at this time was answered."""
        return self._accepted_sent_at > sent_at

    def untried(self, failed_at: Collection[str]) -> bool:
        """Whether an endpoint is left that can be used and is not among these."""
        return any(one.circuit_breaker.usable and one.name not in failed_at for one in self.endpoints)

    def check(self) -> None:
        """Raise EndpointsError if nothing can be asked any more."""
        self._check_patience()

    def disable(self, rejected_at: Collection[str], error: UnclearRejectionError) -> None:
        """Give up endpoints that reject every request, as was found out."""
        detail = f"{error.detail}; it rejects every request: check the model's name and the options of this role"
        for endpoint in self.endpoints:
            if endpoint.name in rejected_at:
                endpoint.circuit_breaker.disable(UnusableEndpointError(detail, error.status or 400, error.reason))

    def _check_patience(self) -> None:
        """Give up when no endpoint is usable, or all have failed or sent 429s for too long. Raises EndpointsError."""
        if any(endpoint.circuit_breaker.healthy for endpoint in self.endpoints):
            return
        now = self.clock()
        usable = [endpoint.circuit_breaker for endpoint in self.endpoints if endpoint.circuit_breaker.usable]
        failing = [breaker.failing_since for breaker in usable if breaker.failing_since is not None]
        limited = [breaker.rate_limited_since for breaker in usable if breaker.rate_limited_since is not None]
        patience = self._patience_seconds
        all_fail, all_limited = len(failing) == len(usable), 0 < len(limited) == len(usable)
        if self._coming is not None and not usable:
            all_fail, failing = True, [self._note_without(now)]
        failing_too_long = all_fail and now - max(failing, default=0.0) > patience
        limited_too_long = all_limited and now - max(limited, default=0.0) > PATIENCE_RATE_LIMITED_SECONDS
        if (not usable and self._coming is None) or failing_too_long or limited_too_long:
            raise EndpointsError(f"no endpoint of the role {self.role!r} can be used ({self._last_errors()})")
        if all_fail and usable and not self._noted_outage and all(breaker.open for breaker in usable):
            self._noted_outage = True
            self._note(
                f"no endpoint of the role {self.role!r} can be reached ({self._last_errors()}); "
                f"waiting up to {patience:.0f} s for one, then the run stops and can be continued"
            )

    async def first_look(self) -> None:
        """Wait a moment for the servers that there are already."""
        if self._watch is not None:
            await self._watch.first_look()

    def _looked(self, urls: AbstractSet[str]) -> None:
        """Open the endpoints that are new, and send nothing more to those that are gone; what they answer yet is kept."""
        assert self._coming is not None  # noqa: S101 - nobody looks otherwise
        for url in urls - self._came.keys():
            self._came[url] = endpoint = self._coming.opened(url)
            self.endpoints.append(endpoint)
        for url in self._came.keys() - urls:
            endpoint = self._came.pop(url)
            self.endpoints.remove(endpoint)
            endpoint.close()
        if any(endpoint.circuit_breaker.usable for endpoint in self.endpoints):
            self._without_since = None
        self._scheduler.dispatch()

    def _note_without(self, now: float) -> float:
        """Since when there has been no server; says so once."""
        if self._without_since is None:
            self._without_since = now
            self._note(
                f"no server of the role {self.role!r} has registered; waiting up to {self._patience_seconds:.0f} s for one, then "
                "the run stops and can be continued"
            )
        return self._without_since

    def _last_errors(self) -> str:
        if not self.endpoints:
            return "none has registered"
        return "; ".join(f"{endpoint.name}: {endpoint.circuit_breaker.last_error}" for endpoint in self.endpoints)

    def _count_failure(self, error: RequestFailedError) -> None:
        """Stop the run when requests in a row fail the same way: the cause is then not in the tasks. Raises EndpointsError."""
        if error.reason in _OF_THE_PROMPT or error.reason.startswith("http-"):
            return
        reason, count = self._same_failures
        self._same_failures = (error.reason, count + 1 if error.reason == reason else 1)
        if self._same_failures[1] >= (_SAME_FAILURES_LATER if self._traffic.answered else _SAME_FAILURES_AT_START):
            raise EndpointsError(
                f"{self._same_failures[1]} requests of the role {self.role!r} in a row failed in the same way ({error.reason}: "
                f"{error.detail}); fix that, then run again with --retry-failed"
            ) from error


class CutPrompts:
    """Watches the `prompt_tokens` of one role's answers.

    A server that cuts long prompts counts the same number of tokens for all of them, which is the highest that it ever counts,
    however many characters they have.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._lengths: dict[str, int] = {}

    def found(self, prompt_tokens: int | None, prompt: str) -> Collection[int] | None:
        """The characters of the first prompts that were cut, once, when they are enough to tell; else None."""
        if prompt_tokens is None or prompt_tokens < max(self.tokens, FEWEST_TOKENS):
            return None
        if prompt_tokens > self.tokens:
            self.tokens, self._lengths = prompt_tokens, {}
        if len(prompt) <= CHARACTERS_PER_TOKEN * prompt_tokens or len(self._lengths) == PROMPTS:
            return None
        before = len(self._lengths)
        self._lengths[digest(prompt)] = len(prompt)
        return self._lengths.values() if before < len(self._lengths) == PROMPTS else None
