"""One endpoint: a base URL with its pace, its load and its health, and the one call that is made there."""

import math
from collections.abc import Callable
from dataclasses import replace

from clairgen.endpoint.pace import Pace
from clairgen.endpoint.transport import Response, Transport
from clairgen.endpoint.wire import ChatAnswer, UnusableEndpointError, read_response
from clairgen.errors import AskError, AskFailedError, RetryableError

_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 30.0
_FAULTS_UNTIL_REST = 3
_REFUSALS_UNTIL_UNUSABLE = 3
_FAULTS = ("server-error", "torn-connection", "timed-out")  # the server's; after a few in a row it is left alone
_CERTAIN = (401, 429)  # a wrong key, an empty account: no other ask will fare better


class Endpoint:
    """A server that answers for a role.

    `name` is what records and errors call it; `trouble` its last fault. `resting_until` lies in the future while it is left
    alone, and is infinite once it is unusable; `ailing_since` is when its present row of faults began, `refused_since` that of
    429s without an answer between them.
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
        self.ailing_since: float | None = None
        self.refused_since: float | None = None
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
        self._width = float(concurrency)
        self._faults = 0
        self._refusals = 0
        self._has_answered = False
        self._rest_seconds = _FIRST_REST_SECONDS

    @property
    def free(self) -> bool:
        """Whether it may be asked now: it lives, nobody pauses there, and a place is free. After faults one ask tries it."""
        width = 1.0 if self._faults >= _FAULTS_UNTIL_REST else self._width
        return (
            self.resting_until <= self._clock()
            and not self.pace.paused_for_seconds
            and self.in_flight < max(1.0, width)
        )

    @property
    def changes_in_seconds(self) -> float:
        """How long until it may be asked without anybody's doing: the end of a rest or pause; infinite if there is none."""
        wait = max(self.resting_until - self._clock(), self.pace.paused_for_seconds)
        return wait if wait > 0 else math.inf

    async def chat(self, body: bytes, expected_tokens: int) -> tuple[ChatAnswer, float]:
        """Ask once; the answer and its latency in seconds.

        Raises RetryableError, AskFailedError, or UnusableEndpointError once this endpoint is asked no more.
        """
        await self.pace.turn(expected_tokens)
        start = self._clock()
        try:
            response = await self._transport.post(self._url, self._headers, body, self._timeout_seconds)
            answer = read_response(self._without_key(response), now_seconds=self._wall_clock())
        except AskError as error:
            self.pace.correct(-expected_tokens)
            self._note_error(error)
            raise
        except UnusableEndpointError as error:
            self.pace.correct(-expected_tokens)
            raise self._refused(error) from error
        self._note_answer()
        used = (answer.usage.prompt_tokens or 0) + (answer.usage.completion_tokens or 0)
        self.pace.correct(used - expected_tokens if used else 0)
        return answer, self._clock() - start

    def _without_key(self, response: Response) -> Response:
        """A response that quotes the key must not carry it into a file, a log or an error."""
        if self._key is None:
            return response
        return replace(response, body=response.body.replace(self._key.encode(), b"[key]"))

    def _note_answer(self) -> None:
        self._has_answered, self._faults, self._refusals = True, 0, 0
        self.ailing_since, self.refused_since, self._rest_seconds = None, None, _FIRST_REST_SECONDS
        self._width = min(self.concurrency, self._width + 1 / self._width)
        self.pace.accepted()

    def _note_error(self, error: AskError) -> None:
        """Keep account of the endpoint's health; what is the ask's own fault shows that the endpoint lives."""
        if not isinstance(error, RetryableError) or error.status == 200:
            self._faults, self.ailing_since = 0, None
            return
        self.trouble, now = error.detail, self._clock()
        if error.reason == "rate-limited":
            self.ailing_since, self._faults = None, 0  # it lives, it only has no room
            self.refused_since = now if self.refused_since is None else self.refused_since
            if self.pace.refused(error.retry_after_seconds):
                self._width = max(1.0, self._width / 2)
            return
        self.ailing_since = now if self.ailing_since is None else self.ailing_since
        if error.reason == "unreachable":
            self._faults = _FAULTS_UNTIL_REST
            self._rest()
        elif error.reason in _FAULTS:
            self._faults += 1
            if self._faults >= _FAULTS_UNTIL_REST:
                self._rest()

    def _rest(self) -> None:
        """Leave the endpoint alone, each time twice as long."""
        now = self._clock()
        if now >= self.resting_until:
            self.resting_until = now + self._rest_seconds
            self._rest_seconds = min(2 * self._rest_seconds, _LONGEST_REST_SECONDS)

    def _refused(self, error: UnusableEndpointError) -> UnusableEndpointError | AskFailedError:
        """What a refusal means: an endpoint that answers others refused this one text, unless refusals go on in a row."""
        self._refusals += 1
        one_text = error.status not in _CERTAIN and (self._has_answered or error.status == 403)
        if one_text and self._refusals < _REFUSALS_UNTIL_UNUSABLE:
            return AskFailedError(f"http-{error.status}", str(error), status=error.status)
        self.trouble, self.resting_until = str(error), math.inf
        return error
