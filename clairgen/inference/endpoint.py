"""One endpoint of a role: a base URL with its limits and its circuit breaker, and the one request that is sent there."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from clairgen.errors import (
    RequestError,
    RequestFailedError,
    RetryableError,
    UnclearRejectionError,
    UnusableEndpointError,
)
from clairgen.inference.announced_limits import announced_limits
from clairgen.inference.circuit_breaker import CircuitBreaker
from clairgen.inference.endpoint_limits import Contender, EndpointLimits, Share
from clairgen.inference.event_stream import with_events_read
from clairgen.inference.openai_format import ChatAnswer, read_response
from clairgen.inference.redaction import Redaction
from clairgen.inference.rejection_rules import NO_CAPACITY
from clairgen.inference.score_format import SCORING_PATHS
from clairgen.inference.transport import Response, Timeouts, Transport
from clairgen.long_texts import off_loop
from clairgen.records import EndpointState

_NO_ROOM = 503
_PROBE = Timeouts(connect=5.0, first_byte=5.0, total=5.0)
_LONG_BYTES = 200_000  # hostile escapes take up to 0.3 µs a byte
_NEWEST = 0.05  # weight of one answer in the moving average of their seconds


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """Where an endpoint is and how to talk to it. `name` is what records and errors call it.

    `url` is a base URL; its query, such as `?api-version=...`, belongs to every request. `secrets` are values in
    `extra_headers` that must not be written anywhere. `stream_ends_with_done` is whether a stream without `[DONE]` is broken off.
    `api` is what is asked there: `chat`, or how a reward model is asked for scores. `is_sheddable` is whether requests are of a
    tier without guarantee, of which Gemini says 503 when it has no room.
    """

    name: str
    url: str
    key: str | None
    timeouts: Timeouts
    weight: float | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    stream_ends_with_done: bool = True
    api: str = "chat"
    is_sheddable: bool = False

    @property
    def asked_at(self) -> str:
        """The URL that requests go to."""
        scoring = SCORING_PATHS.get(self.api)
        return self.page("/chat/completions") if scoring is None else self.page(scoring, above_v1=True)

    def page(self, path: str, *, above_v1: bool = False) -> str:
        """The URL of a page of the server, below the base URL or beside its /v1."""
        base, mark, query = self.url.partition("?")
        base = base.rstrip("/")
        return f"{base.removesuffix('/v1') if above_v1 else base}{path}{mark}{query}"

    def headers(self) -> Mapping[str, str]:
        """The headers of every request; Azure's classic form, the one with an api-version, takes the key as `api-key`."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        if self.key is not None:
            azure = "api-version=" in self.url.partition("?")[2]
            headers |= {"api-key": self.key} if azure else {"authorization": f"Bearer {self.key}"}
        return headers | dict(self.extra_headers)


class Endpoint:
    """A server that answers for a role. `clock` times pauses and latencies, `wall_clock` reads the dates of Retry-After.

    `limits` are the server's. Where sessions share them, `share` is this session's part of them and `most` is how many requests
    the role may have in flight of those that all together may have; `left` is called when the endpoint is closed.
    """

    def __init__(
        self,
        address: EndpointAddress,
        *,
        limits: EndpointLimits,
        transport: Transport,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        share: Share | None = None,
        most: int | None = None,
        left: Callable[[], None] | None = None,
    ) -> None:
        self.name = address.name
        self.is_shared = share is not None
        self.circuit_breaker = CircuitBreaker(clock)
        self.in_flight = 0
        self.concurrency = limits.concurrency
        self.rate_limiter = limits.rate_limiter
        self._limits = limits
        self._contender = Contender(share or Share())
        self._most = math.inf if most is None else most
        self._left = left
        self._address = address
        self._url = address.asked_at
        self._headers = address.headers()
        self._redaction = Redaction.of([address.key, *address.secrets])
        self._transport = transport
        self._clock = clock
        self._wall_clock = wall_clock
        self._answer_seconds = 0.0

    @property
    def has_slot(self) -> bool:
        """Whether one more request may be in flight; of a half-open breaker's requests there is one at a time."""
        most = 1 if self.circuit_breaker.half_open else self._most
        return self.in_flight < most and self._limits.in_flight < self.concurrency.limit

    @property
    def most_ever(self) -> int:
        """The most requests that may ever be in flight."""
        return self._limits.most_ever

    @property
    def weight(self) -> float | None:
        """Its share of the requests relative to the other endpoints, if configured."""
        return self._address.weight

    @property
    def load(self) -> float:
        """This role's requests in flight relative to its weight, else all relative to its concurrency limit."""
        if self._address.weight:
            return self.in_flight / self._address.weight
        return self._limits.in_flight / self.concurrency.limit

    def available_at(self) -> float:
        """When it may take one more request, by breaker, pause and rate limit; infinite while only an event can change that."""
        breaker = self.circuit_breaker
        if not self.has_slot or not breaker.usable or breaker.needs_probe:
            return math.inf
        if self.is_shared and not self._limits.is_turn_of(self._contender):
            return math.inf
        return max(self._limits.permit_at(), breaker.open_until)

    def contend(self, wake: Callable[[], None]) -> None:
        """Wait for its turn among all that share its limits, unless something of its own keeps it from sending."""
        breaker = self.circuit_breaker
        most = 1 if breaker.half_open else self._most
        if self.in_flight < most and breaker.usable and not breaker.open and not breaker.needs_probe:
            self._limits.wait(self._contender, wake)
        else:
            self._limits.leave(self._contender)

    def stop_contending(self) -> None:
        """It has nothing to send now."""
        self._limits.leave(self._contender)

    def close(self) -> None:
        """It will never send anything again."""
        self._limits.leave(self._contender)
        if self._left is not None:
            self._left()

    def state(self) -> EndpointState:
        """What it is doing at this moment."""
        breaker, limiter, now = self.circuit_breaker, self.rate_limiter, self._clock()
        rate, tokens = limiter.requests_per_minute, limiter.tokens_per_minute
        return EndpointState(
            name=self._redaction.text(self.name),
            in_flight=self.in_flight,
            in_flight_of_others=self._limits.in_flight - self.in_flight,
            concurrency_limit=int(self.concurrency.limit),
            requests_per_minute=None if rate is None else round(rate, 1),
            tokens_per_minute=None if tokens is None else round(tokens, 1),
            rate_limit_source=limiter.source,
            circuit_breaker=breaker.state,
            open_seconds=round(breaker.open_until - now, 1) if breaker.open and breaker.usable else 0.0,
            paused_seconds=round(max(0.0, limiter.paused_until - now), 1),
        )

    def acquire(self, expected_tokens: int) -> None:
        """Take a slot, and the permit that was waited for."""
        self.in_flight += 1
        self._limits.acquire(expected_tokens)
        if self.is_shared:
            self._limits.count_turn(self._contender, expected_tokens)

    def release(self) -> None:
        """Give the slot back."""
        self.in_flight -= 1
        self._limits.in_flight -= 1
        if self.is_shared:
            self._limits.gave_back(self._contender)

    async def ask(self, body: bytes, expected_tokens: int, *, adapts: bool = True) -> ChatAnswer:
        """Send one request. `adapts` is whether a 429 changes the limits that all requests share.

        Raises RetryableError, RequestFailedError, or UnusableEndpointError once nothing more is sent to this endpoint.
        """
        start = self._clock()
        try:
            response = await self._transport.post(self._url, self._headers, body, self._address.timeouts)
            if not response.body.startswith(b"{"):
                response = await with_events_read(response)
            now = self._wall_clock()
            if (limits := announced_limits(response.headers, now)) is not None:
                self.rate_limiter.announced(limits)
            read = _read_at_once if len(response.body) <= _LONG_BYTES else _read_long
            found = read(response, self._redaction, now, self._address.stream_ends_with_done, self._address.api)
            answer = found if isinstance(found, ChatAnswer) else await found
        except RequestError as error:
            if self._address.is_sheddable and error.status == _NO_ROOM and not error.billed:
                error.reason = NO_CAPACITY.reason
            self._redaction.error(error)
            self.rate_limiter.adjust(-expected_tokens)
            self._note_failure(error, start, adapts=adapts)
            error.endpoint = self.name
            raise
        self._note_answer(answer, start, expected_tokens)
        return answer

    async def probe(self) -> None:
        """After the breaker was open: find out whether the server is alive, which costs no answer."""
        try:
            # A server without a health page may still list its models; any other response shows that it is alive.
            health = await self._status(self._address.page("/health", above_v1=True))
            status = health if health == 503 or health < 300 else await self._status(self._address.page("/models"))
        except RetryableError:
            status = 0
        if 0 < status < 500:
            self.circuit_breaker.probe_succeeded()
        else:
            self.circuit_breaker.probe_failed()

    async def _status(self, url: str) -> int:
        """The status of a page; a connection that breaks off counts as a page that cannot be read."""
        try:
            return (await self._transport.get(url, self._headers, _PROBE)).status
        except RetryableError as error:
            if error.reason == "torn-connection":
                return 400
            raise

    def _note_answer(self, answer: ChatAnswer, sent_at: float, expected_tokens: int) -> None:
        self.circuit_breaker.succeeded()
        self.concurrency.answered(saturated=self._limits.in_flight >= self.concurrency.limit)
        self.rate_limiter.answered()
        seconds = self._clock() - sent_at
        self._answer_seconds += (_NEWEST if self._answer_seconds else 1.0) * (seconds - self._answer_seconds)
        if used := (answer.usage.prompt_tokens or 0) + (answer.usage.completion_tokens or 0):
            self.rate_limiter.adjust(used - expected_tokens)

    def _note_failure(self, error: RequestError, sent_at: float, *, adapts: bool) -> None:
        """A failure that is due to the request itself shows that the server is alive."""
        if isinstance(error, UnusableEndpointError):
            self.circuit_breaker.disable(error)
            return
        if isinstance(error, UnclearRejectionError):
            self.circuit_breaker.rejected_unclearly()
            return
        if not isinstance(error, RetryableError):
            self.circuit_breaker.responded()
            return
        self.circuit_breaker.failed(error)
        limiter = self.rate_limiter
        if adapts and error.reason == "rate-limited" and limiter.rate_limited(error.retry_after_seconds, sent_at):
            self.concurrency.rate_limited(needed=(limiter.requests_per_minute or 0.0) / 60 * self._answer_seconds)


def _read_at_once(
    response: Response, redaction: Redaction, now_seconds: float, needs_done: bool, api: str
) -> ChatAnswer:
    """The answer in a response. Raises RequestError as `read_response` does.

    Keys are taken out of the body as it came, before a part of it is quoted, and once more of what was understood.
    """
    received = redaction.body(response.body)
    known = response if received is response.body else replace(response, body=received)
    return _without_keys(read_response(known, now_seconds=now_seconds, needs_done=needs_done, api=api), redaction)


async def _read_long(
    response: Response, redaction: Redaction, now_seconds: float, needs_done: bool, api: str
) -> ChatAnswer:
    """The same of a long body, in another process, since a hostile one takes seconds."""
    try:
        found = await off_loop(
            read_elsewhere, response.body, replace(response, body=b""), redaction, now_seconds, needs_done, api
        )
    except RequestFailedError as error:
        error.status, error.billed = response.status, True
        raise
    if isinstance(found, RequestError):
        raise found
    return found


def read_elsewhere(
    body: bytes, response: Response, redaction: Redaction, now_seconds: float, needs_done: bool, api: str
) -> ChatAnswer | RequestError:
    """The answer in the body of a response, or the error that it is: as a value, which another process can send back."""
    try:
        return _read_at_once(replace(response, body=body), redaction, now_seconds, needs_done, api)
    except RequestError as error:
        return error


def _without_keys(answer: ChatAnswer, redaction: Redaction) -> ChatAnswer:
    if redaction.is_empty:
        return answer

    def without(name: str | None) -> str | None:
        return None if name is None else redaction.text(name)

    return replace(
        answer,
        text=redaction.text(answer.text),
        finish_reason=redaction.text(answer.finish_reason),
        response_id=without(answer.response_id),
        served_model=without(answer.served_model),
        system_fingerprint=without(answer.system_fingerprint),
        service_tier=without(answer.service_tier),
    )
