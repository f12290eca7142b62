"""A role's account at a provider of batches: its service, for how long it may fail, and how much may wait there at once."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from clairgen.config.batch_settings import BatchSettings
from clairgen.config.endpoint_checks import FILE_SCHEME
from clairgen.errors import EndpointsError, RetryableError, UnusableEndpointError
from clairgen.inference.announced_limits import LONG_WAIT_SECONDS
from clairgen.inference.batch_service import BatchService, RemoteBatch
from clairgen.inference.pool import PATIENCE_RATE_LIMITED_SECONDS
from clairgen.pipeline.progress import Progress
from clairgen.store import BatchRecord, Store
from clairgen.wording import counted

T = TypeVar("T")
_FIRST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 30.0
_ENDED_ALREADY: Final = 409
_LONGEST_POLL: Final = 6  # times the first


@dataclass(slots=True)
class ProviderAccount:
    """The account of a role's batches. `patience_seconds` is how long the provider may fail before the run stops."""

    role: str
    service: BatchService
    settings: BatchSettings
    patience_seconds: float
    store: Store
    folder: Path
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    progress: Progress
    enqueued: "EnqueuedTokens"
    _told_until: float = -math.inf

    async def persistently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call that is repeated as long as the provider fails.

        Raises EndpointsError in the end, UnusableEndpointError for what it does not accept.
        """
        repeating = self.repeating(self.patience_seconds)
        while True:
            try:
                return await call()
            except UnusableEndpointError:
                raise
            except RetryableError as error:
                if repeating.is_over_after(error):
                    raise EndpointsError(
                        f"batches cannot go on ({error.detail}); those that were created go on at the provider: run the same "
                        "command again later"
                    ) from error
                await repeating.wait_after(error)

    async def cancel(self, batch_id: str) -> None:
        """Ask for a batch to be cancelled; one that has ended already, or cannot be cancelled, is left as it is."""

        async def ask() -> RemoteBatch | None:
            try:
                return await self.service.cancel(batch_id)
            except (UnusableEndpointError, RetryableError) as error:
                if error.status == _ENDED_ALREADY or isinstance(error, UnusableEndpointError):
                    return None
                raise

        await self.persistently(ask)

    def not_found(self, batch: BatchRecord) -> EndpointsError:
        """The error of a batch that the provider does not know: it may be there for another key."""
        if batch.endpoint.startswith(FILE_SCHEME):
            do = f"bring its file back to {batch.endpoint.removeprefix(FILE_SCHEME)}"
        else:
            do = "check the key of this role: only keys of the account and project that created the batch can see it"
        return EndpointsError(
            f"the batch {batch.batch_id or batch.id} of {batch.role!r}, with {counted(batch.requests, 'request')}, is not found "
            f"at {batch.endpoint}; {do}; if it is gone for good, give its answers up with: clairgen batches {self.folder.parent} "
            "--cancel"
        )

    def note(self, sentence: str) -> None:
        """Show the user a sentence that may quote the provider, so it stays out of the log."""
        self.progress.note(sentence, quotes=True)

    def tell_wait(self, error: RetryableError, seconds: float) -> None:
        """Tell the user of a long wait that the provider asks for, once while it lasts."""
        now = self.clock()
        if seconds <= LONG_WAIT_SECONDS or now < self._told_until:
            return
        self._told_until = now + seconds
        self.progress.log_event(
            "batch_call_waits", role=self.role, endpoint=error.endpoint, reason=error.reason, seconds=round(seconds)
        )
        self.note(
            f"{error.endpoint or 'the provider'} asks to wait {seconds:.0f} s before the next call about a batch of {self.role} "
            f"({error.detail}); Ctrl-C leaves the batches there, and the same command collects them later"
        )

    @property
    def longest_poll_seconds(self) -> float:
        """The longest pause between two looks at a batch."""
        return _LONGEST_POLL * self.settings.poll_seconds

    def repeating(self, seconds: float) -> "Repeating":
        """The pauses of something that is done again for as long."""
        begun = self.clock()
        return Repeating(self, begun, begun + seconds)

    def searching(self) -> "Repeating":
        """The pauses of looking for what may come late, or be listed late."""
        return self.repeating(self.settings.search_seconds)


@dataclass(slots=True)
class Repeating:
    """Pauses between repetitions, each twice as long as the one before, until a time on the clock."""

    account: ProviderAccount
    begun: float
    until: float
    delay: float = _FIRST_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether the time has come."""
        return self.account.clock() >= self.until

    def is_over_after(self, error: RetryableError) -> bool:
        """The same of something that failed so: 429s are waited out for as long as they are of what is requested directly."""
        until = self.until
        if error.reason == "rate-limited":
            until = max(until, self.begun + PATIENCE_RATE_LIMITED_SECONDS)
        return self.account.clock() >= until

    async def wait_after(self, error: RetryableError) -> None:
        """Pause once, for as long as the provider asks to at least."""
        seconds = error.retry_after_seconds or 0.0
        self.account.tell_wait(error, seconds)
        await self.wait(seconds)

    async def wait(self, at_least: float = 0.0) -> None:
        """Pause once."""
        left = max(0.0, self.until - self.account.clock())
        await self.account.sleep(max(at_least, min(self.delay, left)))
        self.delay = min(2 * self.delay, _LONGEST_SECONDS)


@dataclass(slots=True)
class EnqueuedTokens:
    """The tokens that wait at the provider, by batch, of at most `limit`; None is no limit."""

    limit: int | None
    _waiting: dict[str, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _held_up: set[str] = field(default_factory=set)

    async def take(self, batch: BatchRecord) -> None:
        """Wait until the batch's tokens fit beside those of the others; one that is alone always does."""
        while self.limit is not None:
            others = [tokens for other, tokens in self._waiting.items() if other != batch.id]
            if not others or sum(others) + batch.tokens <= self.limit:
                break
            await self.changed_for(batch.id)
        self.hold(batch)

    def hold(self, batch: BatchRecord) -> None:
        """The batch's tokens wait there, whether they fit or not."""
        self._waiting[batch.id] = batch.tokens

    def give_back(self, batch: str) -> None:
        """The batch waits no longer."""
        if self._waiting.pop(batch, None) is not None:
            self._changed.set()
            self._changed = asyncio.Event()

    def others(self, batch: str) -> bool:
        """Whether other batches wait."""
        return any(other != batch for other in self._waiting)

    def holds_up(self, batch: str) -> bool:
        """Whether a batch is held up until another one waits there no longer."""
        return batch in self._held_up

    async def changed_for(self, batch: str) -> None:
        """Hold a batch up until some other one waits there no longer."""
        self._held_up.add(batch)
        try:
            await self._changed.wait()
        finally:
            self._held_up.discard(batch)
