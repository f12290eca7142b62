"""One endpoint: a base URL with its pace, its load and its health, and the one call that is made there."""

import math
from collections.abc import Callable
from dataclasses import replace

from clairgen.endpoint.pace import Pace
from clairgen.endpoint.transport import Response, Transport
from clairgen.endpoint.wire import ChatAnswer, UnusableEndpointError, read_response
from clairgen.errors import RetryableError

_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 30.0


class Endpoint:
    """A server that answers for a role.

    `name` is what records and errors call it. `resting_until` lies in the future while it cannot be reached, and is infinite
    once it is unusable. `down_since` is when it was last found unreachable without having answered since.
    """

    def __init__(
        self,
        name: str,
        url: str,
        key: str | None,
        *,
        concurrency: int,
        timeout_seconds: float,
        transport: Transport,
        pace: Pace,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.concurrency = concurrency
        self.in_flight = 0
        self.resting_until = 0.0
        self.down_since: float | None = None
        self.has_answered = False
        self.trouble: str | None = None
        self.pace = pace
        self._url = f"{url}/chat/completions"
        self._key = key
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"
        self._timeout_seconds = timeout_seconds
        self._transport = transport
        self._clock = clock
        self._wall_clock = wall_clock
        self._rest_seconds = _FIRST_REST_SECONDS

    async def chat(self, body: bytes, expected_tokens: int) -> tuple[ChatAnswer, float]:
        """Ask once; the answer and its latency in seconds. Raises what `read_response` and the transport raise."""
        await self.pace.turn(expected_tokens)
        start = self._clock()
        try:
            response = await self._transport.post(self._url, self._headers, body, self._timeout_seconds)
            answer = read_response(self._without_key(response), now_seconds=self._wall_clock())
        except RetryableError as error:
            self._note(error)
            raise
        except UnusableEndpointError as error:
            self.trouble, self.resting_until = str(error), math.inf
            raise
        self._note(None)
        used = (answer.usage.prompt_tokens or 0) + (answer.usage.completion_tokens or 0)
        if used:
            self.pace.correct(used - expected_tokens)
        return answer, self._clock() - start

    def _without_key(self, response: Response) -> Response:
        """A refusal that quotes the key must not carry it into a log or an error."""
        if self._key is None or response.status == 200:
            return response
        return replace(response, body=response.body.replace(self._key.encode(), b"[key]"))

    def _note(self, error: RetryableError | None) -> None:
        """Keep account of the endpoint's health."""
        if error is not None and error.reason == "unreachable":
            now = self._clock()
            self.trouble = error.detail
            self.down_since = now if self.down_since is None else self.down_since
            if now >= self.resting_until:
                self.resting_until = now + self._rest_seconds
                self._rest_seconds = min(2 * self._rest_seconds, _LONGEST_REST_SECONDS)
            return
        self.down_since, self._rest_seconds = None, _FIRST_REST_SECONDS
        if error is None:
            self.has_answered = True
            self.pace.accepted()
        elif error.reason == "rate-limited":
            self.pace.refused(error.retry_after_seconds)
