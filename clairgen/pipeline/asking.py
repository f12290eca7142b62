"""`ask`, the one way to get text out of a model: the stored completion if there is one, else the role's pool, once a key."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from clairgen.config import Price, Role
from clairgen.endpoint.client import Endpoint
from clairgen.endpoint.pool import Answered, Pool
from clairgen.endpoint.wire import request_body
from clairgen.errors import AskError, AskFailedError, DrainedError, RetryableError
from clairgen.keys import content_key, seed_for
from clairgen.pipeline.progress import Progress
from clairgen.records import Completion, Message, Sampling, Usage
from clairgen.store import Attempt, Store, now
from clairgen.templates import Template

_LONG_WAIT_SECONDS = 60


class Asker:
    """Implements `Ask` for a run. `reused` are the stores of other runs to look into, by name; reading only."""

    def __init__(
        self,
        store: Store,
        roles: Mapping[str, Role],
        pools: Mapping[str, Pool],
        *,
        seed: int,
        reused: Mapping[str, Store],
        stop: asyncio.Event,
        progress: Progress,
    ) -> None:
        self._store = store
        self._roles = roles
        self._pools = pools
        self._seed = seed
        self._reused = reused
        self._stop = stop
        self._progress = progress
        self._running: dict[str, asyncio.Future[Completion]] = {}
        for name, pool in pools.items():
            progress.role(name).in_flight_now = partial(getattr, pool, "in_flight")

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        asked = _Asked(role, self._roles[role], self.sent(role, messages), self._seed, sample, template)
        while (running := self._running.get(asked.key)) is not None:
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                waiting = asyncio.current_task()
                if not running.cancelled() or (waiting is not None and waiting.cancelling()):
                    raise  # we are cancelled, not only the one who asks
        return await self._alone(asked)

    def sent(self, role: str, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages that a role is sent: its system message goes before those that bring none of their own.

        Those of a task stay as they are for a role that the run does not have.
        """
        system = self._roles[role].system if role in self._roles else None
        if system is None or any(message.role == "system" for message in messages):
            return tuple(messages)
        return (Message("system", system), *messages)

    async def _alone(self, asked: "_Asked") -> Completion:
        """Get a completion while others who want the same one wait for it."""
        running = self._running[asked.key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._stored(asked) or await self._fetched(asked)
        except asyncio.CancelledError:
            running.cancel()
            raise
        except Exception as error:
            running.set_exception(error)
            running.exception()  # perhaps nobody waits, which is no fault
            raise
        else:
            running.set_result(completion)
            return completion
        finally:
            del self._running[asked.key]

    async def _stored(self, asked: "_Asked") -> Completion | None:
        completion = await self._store.completions.find(asked.key)
        if completion is None:
            for name, other in self._reused.items():
                if (completion := await other.completions.find(asked.key)) is not None:
                    await self._store.completions.save(
                        completion, asked.messages, asked.sampling, asked.template_hash, reused_from=name
                    )
                    break
        if completion is not None:
            self._progress.role(asked.role).stored += 1
        return completion

    async def _fetched(self, asked: "_Asked") -> Completion:
        if self._stop.is_set():
            raise DrainedError
        counters = self._progress.role(asked.role)

        async def note_attempt(endpoint: Endpoint, error: AskError, seconds: float) -> None:
            counters.retried += 1
            if isinstance(error, RetryableError) and (error.retry_after_seconds or 0) > _LONG_WAIT_SECONDS:
                self._progress.note(f"{endpoint.name} asks to wait {error.retry_after_seconds:.0f} s ({error.detail})")
            attempt = Attempt(
                asked.key,
                asked.role,
                asked.model,
                endpoint.name,
                error.reason,
                error.detail,
                error.status,
                error.billed,
                seconds,
            )
            await self._store.completions.save_attempt(attempt)

        try:
            answered = await self._pools[asked.role].chat(asked.body, note_attempt)
        except AskFailedError as error:
            counters.failed += 1
            error.role = asked.role
            raise
        completion = asked.completion(answered)
        await self._store.completions.save(completion, asked.messages, asked.sampling, asked.template_hash)
        counters.answered += 1
        counters.prompt_tokens += completion.usage.prompt_tokens or 0
        counters.completion_tokens += completion.usage.completion_tokens or 0
        counters.cost_usd += completion.cost_usd or 0.0
        counters.priced |= completion.cost_usd is not None
        return completion


class _Asked:
    """One ask: what is sent and the key that it has."""

    def __init__(
        self,
        role: str,
        facts: Role,
        messages: tuple[Message, ...],
        run_seed: int,
        sample: int,
        template: Template | None,
    ) -> None:
        self.role = role
        self.model = facts.model
        self.messages = messages
        self.sampling: Sampling = facts.sampling(run_seed)
        self.template_hash = template.content_hash if template else None
        self.key = content_key(facts.model, facts.revision, messages, self.sampling, sample)
        self._facts = facts
        self._sample = sample

    def body(self, redraws: int) -> bytes:
        """The request's bytes; a redraw has another seed, since the same would draw the same empty answer."""
        seed = seed_for(self.sampling.seed or 0, self.key, redraws) if self._facts.send_seed else None
        return request_body(self.model, self.messages, self.sampling, seed)

    def completion(self, answered: Answered) -> Completion:
        """The record of a good answer."""
        return Completion(
            key=self.key,
            role=self.role,
            model=self.model,
            revision=self._facts.revision,
            sample=self._sample,
            text=answered.answer.text,
            finish_reason=answered.answer.finish_reason,
            usage=answered.answer.usage,
            latency_seconds=answered.latency_seconds,
            endpoint=answered.endpoint.name,
            response_id=answered.answer.response_id,
            cost_usd=cost_usd(answered.answer.usage, self._facts.price_per_million),
            created_at=now(),
        )


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """What an answer cost, in US dollars; None without a price or without the server's count."""
    if price is None or usage.prompt_tokens is None:
        return None
    return (usage.prompt_tokens * price.input + (usage.completion_tokens or 0) * price.output) / 1_000_000
