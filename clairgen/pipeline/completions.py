"""`ask`, the one way to get text out of a model: the stored completion if there is one, else the role's pool, once a key."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from clairgen.config.models import Role
from clairgen.config.prices import cost_usd
from clairgen.errors import DrainedError, RequestError, RequestFailedError, RetryableError
from clairgen.inference.openai_format import request_body
from clairgen.inference.pool import Answered, Pool
from clairgen.keys import ContentKeys, canonical_json, messages_json, sampling_facts, seed_for
from clairgen.pipeline.budget import Budget, Meter, meters
from clairgen.pipeline.progress import Progress, RoleProgress
from clairgen.records import Completion, Message
from clairgen.store import Attempt, Sent, Store, now
from clairgen.templates import Template

_LONG_WAIT_SECONDS = 60


class CompletionClient:
    """Implements `Ask` for a run.

    `reused` are the stores of other runs to look into, by name; reading only. `ledger` keeps account of what asks cost.
    """

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
        ledger: Budget | None = None,
    ) -> None:
        self._store = store
        self._roles = {name: _AskedRole(name, role, seed, meters(name, role, ledger)) for name, role in roles.items()}
        self._pools = pools
        self._reused = reused
        self._stop = stop
        self._progress = progress
        self._running: dict[str, asyncio.Future[Completion]] = {}
        for name, pool in pools.items():
            progress.role(name).in_flight_now = partial(getattr, pool, "in_flight")
            progress.role(name).priced = roles[name].price_per_million is not None

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        asked = _Asked(self._roles[role], self.sent(role, messages), sample, template, self._store, self._progress)
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

    @property
    def capacity(self) -> int:
        """How many asks can be in flight at once, over all roles."""
        return sum(pool.capacity for pool in self._pools.values())

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
                    await self._store.completions.save(completion, asked.sent, reused_from=name)
                    break
        if completion is not None:
            asked.counters.stored += 1
        return completion

    async def _fetched(self, asked: "_Asked") -> Completion:
        if self._stop.is_set():
            raise DrainedError
        asked.counters.asking += 1
        try:
            return await asked.brings(await self._pools[asked.role.name].chat(asked))
        except RequestFailedError as error:
            asked.counters.failed += 1
            error.role = asked.role.name
            raise
        finally:
            asked.counters.asking -= 1
            asked.ends()


class _AskedRole:
    """What all asks of a role have in common."""

    def __init__(self, name: str, facts: Role, run_seed: int, meter: Callable[[], Meter]) -> None:
        self.name = name
        self.meter = meter
        self.model = facts.model
        self.revision = facts.revision
        self.system = facts.system
        self.send_seed = facts.send_seed
        self.price = facts.price_per_million
        self.sampling = facts.sampling(run_seed)
        self.parameters = canonical_json(sampling_facts(self.sampling))
        self.keys = ContentKeys(facts.model, facts.revision, self.sampling)


class _Asked:
    """One ask. Here each of its tries begins and ends: `begins`, then `fails` or `brings`, with all that is kept of it."""

    def __init__(
        self,
        role: _AskedRole,
        messages: Sequence[Message],
        sample: int,
        template: Template | None,
        store: Store,
        progress: Progress,
    ) -> None:
        content = messages_json(messages)
        self.role = role
        self.key = role.keys.key(content, sample)
        self.sent = Sent(content, role.parameters, template.content_hash if template else None)
        self.counters: RoleProgress = progress.role(role.name)
        self._messages = messages
        self._sample = sample
        self._store = store
        self._progress = progress
        self._meter = role.meter()

    def body(self, redraws: int) -> bytes:
        """The request's bytes; a redraw has another seed, since the same would draw the same empty answer."""
        seed = seed_for(self.role.sampling.seed or 0, self.key, redraws) if self.role.send_seed else None
        return request_body(self.role.model, self._messages, self.role.sampling, seed)

    async def begins(self, endpoint: str, body: bytes) -> None:
        """A try is sent as soon as this returns: what it can cost is reserved."""
        await self._meter.begins(body)
        self.counters.sent += 1

    async def fails(self, endpoint: str, error: RequestError, seconds: float) -> None:
        """A try brought no completion: commit it as an attempt."""
        self._meter.failed(error)
        role = self.role
        self.counters.refused[error.reason] += 1
        self._progress.tell(
            "refused",
            role=role.name,
            endpoint=endpoint,
            reason=error.reason,
            status=error.status,
            seconds=round(seconds, 3),
            key=self.key,
        )
        if isinstance(error, RetryableError) and (error.retry_after_seconds or 0) > _LONG_WAIT_SECONDS:
            sentence = f"{endpoint} asks to wait {error.retry_after_seconds:.0f} s ({error.detail})"
            self._progress.note(sentence, quotes=True)
        attempt = Attempt(
            self.key, role.name, role.model, endpoint, error.reason, error.detail, error.status, error.billed, seconds
        )
        await self._store.completions.save_attempt(attempt)

    async def brings(self, answered: Answered) -> Completion:
        """A try brought the completion: commit and count it."""
        role, answer = self.role, answered.answer
        self._meter.answered(answer.usage)
        completion = Completion(
            key=self.key,
            role=role.name,
            model=role.model,
            revision=role.revision,
            sample=self._sample,
            text=answer.text,
            finish_reason=answer.finish_reason,
            usage=answer.usage,
            latency_seconds=answered.latency_seconds,
            endpoint=answered.endpoint.name,
            response_id=answer.response_id,
            cost_usd=cost_usd(answer.usage, role.price),
            created_at=now(),
        )
        counters = self.counters
        counters.answered += 1
        if self._progress.tell_texts:
            texts = [{"role": message.role, "content": message.content} for message in self._messages]
            self._progress.tell("answered", role=role.name, key=self.key, messages=texts, text=completion.text)
        await self._store.completions.save(completion, self.sent)
        counters.prompt_tokens += completion.usage.prompt_tokens or 0
        counters.completion_tokens += completion.usage.completion_tokens or 0
        return completion

    def ends(self) -> None:
        """Nobody waits any more: what a try that is still out will cost is not known."""
        self._meter.ends()
