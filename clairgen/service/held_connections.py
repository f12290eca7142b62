"""How long a connection may be held: by a request that does not arrive, and by an answer that nobody reads."""

from asyncio import TimerHandle
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS: Final = 20.0
"""For the head of a request, from the first byte or from the connection on; bodies have a limit of their own."""
READING_SECONDS: Final = 60.0
"""For a client to read something of an answer that waits for it."""


class TimedConnection(H11Protocol):
    """uvicorn's connection, which by itself waits without end for what was begun. Times are in seconds."""

    request_seconds = REQUEST_SECONDS
    reading_seconds = READING_SECONDS

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*given, **named)
        self._request: TimerHandle | None = None
        self._reading: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        """Go on to wait until the head of a request is whole."""
        super().data_received(data)
        self._wait_for_request()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._reading = self._reading or self.loop.call_later(self.reading_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._end_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end_request()
        self._end_reading()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            self._end_request()
        elif self._request is None:
            self._request = self.loop.call_later(self.request_seconds, self.transport.close)

    def _end_request(self) -> None:
        if self._request is not None:
            self._request.cancel()
            self._request = None

    def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
