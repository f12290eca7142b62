"""One pace for everybody at an endpoint: requests and tokens a minute, and the pause that a 429 asks of all.

Requests are spread evenly; there is no burst. Tokens are charged by an estimate before the call and put right after it.
"""

import asyncio
from collections.abc import Awaitable, Callable

_MINUTE = 60.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class Pace:
    """When the next call may go out. `clock` gives seconds; `sleep` waits for some."""

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._request_seconds = _MINUTE / requests_per_minute if requests_per_minute else 0.0
        self._token_seconds = _MINUTE / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next_request = 0.0
        self._next_token = 0.0
        self._paused_until = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    @property
    def paused_for_seconds(self) -> float:
        """How long everybody still waits because of a 429."""
        return max(0.0, self._paused_until - self._clock())

    async def turn(self, tokens: int) -> None:
        """Wait for the turn of a call that is expected to cost `tokens`; turns are given out in order of asking."""
        while True:
            now = self._clock()
            at = max(now, self._next_request, self._next_token, self._paused_until)
            self._next_request = at + self._request_seconds
            self._next_token = max(self._next_token, at) + tokens * self._token_seconds
            if at > now:
                await self._sleep(at - now)
            if self._clock() >= self._paused_until:
                return
            tokens = 0  # a pause began meanwhile: take a new turn behind it, charged once

    def correct(self, tokens: int) -> None:
        """Put a call's charge right by the difference between true and estimated tokens."""
        self._next_token += tokens * self._token_seconds

    def refused(self, retry_after_seconds: float | None) -> bool:
        """Pause everybody after a 429: as long as the endpoint asks, else twice as long as the last time.

        False if everybody was pausing already: others in flight were refused by the same burst.
        """
        now = self._clock()
        if now < self._paused_until:
            return False
        pause = retry_after_seconds if retry_after_seconds is not None else self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._paused_until = now + pause
        return True

    def accepted(self) -> None:
        """An answer came: the next pause is half as long."""
        self._pause_seconds = max(_FIRST_PAUSE_SECONDS, self._pause_seconds / 2)
