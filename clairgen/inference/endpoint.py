"""One endpoint: a base URL with its places, its pace and its health, and the one call that is made there."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from clairgen.errors import RequestError, RetryableError
from clairgen.inference.circuit_breaker import Health
from clairgen.inference.concurrency import Width
from clairgen.inference.openai_format import ChatAnswer, UnusableEndpointError, read_response
from clairgen.inference.rate_limit import Pace, announced_limits
from clairgen.inference.transport import Response, Timeouts, Transport

_PROBE = Timeouts(connect=5.0, first_byte=5.0, total=5.0)
_NEWEST = 0.05  # what one answer counts for in the mean of their seconds


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint is, and how it is spoken to. `name` is what records and errors call it."""

    name: str
    url: str
    key: str | None
    timeouts: Timeouts
    weight: float | None = None

    def headers(self) -> Mapping[str, str]:
        """What is sent with every request."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        return headers if self.key is None else headers | {"authorization": f"Bearer {self.key}"}


class Endpoint:
    """A server that answers for a role. `clock` times pauses and latencies, `wall_clock` reads the dates of Retry-After."""

    def __init__(
        self,
        address: Address,
        *,
        width: Width,
        transport: Transport,
        pace: Pace,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.name = address.name
        self.width = width
        self.pace = pace
        self.health = Health(clock)
        self.in_flight = 0
        self._address = address
        self._chat_url = f"{address.url}/chat/completions"
        self._headers = address.headers()
        self._transport = transport
        self._clock = clock
        self._wall_clock = wall_clock
        self._turn: float | None = None
        self._answer_seconds = 0.0

    @property
    def has_place(self) -> bool:
        """Whether one more may be in flight; after faults one ask tries it."""
        return self.in_flight < (1 if self.health.on_trial else self.width.now)

    @property
    def weight(self) -> float | None:
        """How many asks it has beside others, where the user says so."""
        return self._address.weight

    @property
    def load(self) -> float:
        """How full it is: for its weight, else for its width."""
        return self.in_flight / (self._address.weight or self.width.now)

    def opens_at(self) -> float:
        """When it may take one more ask, by its rest, its pause and its pace; infinite without somebody's doing."""
        health, pace = self.health, self.pace
        if not self.has_place or not health.usable or (health.unproven and health.resting_until <= self._clock()):
            return math.inf
        if self._turn is None or self._turn < pace.paused_until:
            self._turn = pace.turn()  # those given out before a pause would all come at its end
        return max(self._turn, pace.paused_until, health.resting_until)

    def enter(self, expected_tokens: int) -> None:
        """Take a place and the turn that was waited for."""
        self.in_flight += 1
        self._turn = None
        self.pace.begin(expected_tokens)

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1

    async def chat(self, body: bytes, expected_tokens: int, *, slows: bool = True) -> tuple[ChatAnswer, float]:
        """Ask once; the answer and its latency in seconds. `slows` is whether a 429 is to slow everybody down.

        Raises RetryableError, RequestFailedError, or UnusableEndpointError once this endpoint is asked no more.
        """
        start = self._clock()
        try:
            response = await self._transport.post(self._chat_url, self._headers, body, self._address.timeouts)
            if (limits := announced_limits(response.headers)) is not None:
                self.pace.announced(limits)
            answer = read_response(self._without_key(response), now_seconds=self._wall_clock())
        except RequestError as error:
            self.pace.correct(-expected_tokens)
            self._note_error(error, start, slows=slows)
            raise
        except UnusableEndpointError as error:
            self.pace.correct(-expected_tokens)
            raise self.health.refused(error) from error
        self.health.answered()
        self.width.answered(full=not self.has_place)
        self.pace.accepted()
        seconds = self._clock() - start
        self._answer_seconds += (_NEWEST if self._answer_seconds else 1.0) * (seconds - self._answer_seconds)
        if used := (answer.usage.prompt_tokens or 0) + (answer.usage.completion_tokens or 0):
            self.pace.correct(used - expected_tokens)
        return answer, seconds

    async def probe(self) -> None:
        """After a rest: ask whether it lives, which costs no answer. If not, it rests again."""
        try:
            # A server that has no page for its health may still list its models; what else it says shows that it lives.
            health = await self._page(f"{self._address.url.removesuffix('/v1')}/health")
            status = health if health == 503 or health < 300 else await self._page(f"{self._address.url}/models")
        except RetryableError:
            status = 0
        if 0 < status < 500:
            self.health.proven()
        else:
            self.health.rest()

    async def _page(self, url: str) -> int:
        """The status of a page; a connection that breaks off counts as none that can be read."""
        try:
            return (await self._transport.get(url, self._headers, _PROBE)).status
        except RetryableError as error:
            if error.reason == "torn-connection":
                return 400
            raise

    def _without_key(self, response: Response) -> Response:
        """A response that quotes the key must not carry it into a file, a log or an error."""
        key = self._address.key
        if key is None:
            return response
        return replace(response, body=response.body.replace(key.encode(), b"[key]"))

    def _note_error(self, error: RequestError, sent_at: float, *, slows: bool) -> None:
        """Keep account of the endpoint's health; what is the ask's own fault shows that the endpoint lives."""
        if not isinstance(error, RetryableError):
            self.health.spoke()
            return
        self.health.failed(error)
        if slows and error.reason == "rate-limited" and self.pace.refused(error.retry_after_seconds, sent_at):
            self.width.refused(needed=(self.pace.requests_per_minute or 0.0) / 60 * self._answer_seconds)
