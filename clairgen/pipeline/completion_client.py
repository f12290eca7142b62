"""`ask`, the one way to get text out of a model: the stored completion if there is one, else a request to the role's pool."""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from clairgen.config.prices import cost_usd, costs
from clairgen.config.role import Price, Role
from clairgen.errors import (
    DrainedError,
    RequestError,
    RequestFailedError,
    RetryableError,
    UnclearRejectionError,
)
from clairgen.inference.announced_limits import LONG_WAIT_SECONDS
from clairgen.inference.openai_format import ChatAnswer
from clairgen.inference.pool import Pool
from clairgen.inference.retry import Retries
from clairgen.pipeline.attempt_counts import ANSWERED
from clairgen.pipeline.batch_lane.lane import BatchLane
from clairgen.pipeline.budget import Budget, Charge
from clairgen.pipeline.model_requests import Request, RoleRequests, answer_in, thinking_to_store, with_system
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.traces import Traces
from clairgen.records import Completion, Message, SampleRange
from clairgen.store import Attempt, Store, now
from clairgen.templates import Template

_PROBE = (Message("user", "Answer with the word yes."),)
_SCORED_PROBE = (*_PROBE, Message("assistant", "Yes."))


class CompletionClient:
    """Implements `Ask` for a run; requests that are equal are sent once.

    `reused` are the stores of other runs to look into, by name; they are only read. `budget` accounts for what requests cost,
    `lane` fetches what goes by batch. `check_space` raises StoreError where what is sent could not be kept. `traces` has a span
    for each attempt.
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
        budget: Budget | None = None,
        check_space: Callable[[], None] = lambda: None,
        lane: BatchLane | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.lane = lane
        self._store = store
        self._roles = {name: RoleRequests(name, role, seed) for name, role in roles.items()}
        self._pools = pools
        self._reused = reused
        self._stop = stop
        self._progress = progress
        self._budget = budget
        self._check_space = check_space
        self._traces = traces
        self._uncounted = set[tuple[str, str]]()
        self._unknown_tiers = set[tuple[str, str, bool]]()
        self._running: dict[str, asyncio.Future[Completion]] = {}
        self._probes: dict[str, tuple[float, asyncio.Task[bool | None]]] = {}
        for name, pool in pools.items():
            progress.role(name).load = pool
            progress.role(name).priced = roles[name].price_per_million is not None

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        request = self._roles[role].request(self.sent(role, messages), sample, template)
        while (running := self._running.get(request.key)) is not None:
            try:
                return answer_in(await asyncio.shield(running), request)
            except asyncio.CancelledError:
                waiting = asyncio.current_task()
                if not running.cancelled() or (waiting is not None and waiting.cancelling()):
                    raise  # this task is cancelled, not only the one that it waits for
        return answer_in(await self._shared(request), request)

    def sent(self, role: str, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages that a role is sent: its system message precedes those that contain none.

        Those of a task stay as they are for a role that the run does not have.
        """
        return with_system(messages, self._roles[role].settings.system if role in self._roles else None)

    @property
    def capacity(self) -> int:
        """How many requests can be in flight at once, over all roles."""
        return sum(pool.capacity for pool in self._pools.values())

    @property
    def waiting_for_batches(self) -> int:
        """How many more may wait for their batches at once."""
        return self.lane.most_waiting if self.lane is not None else 0

    @property
    def pending(self) -> int:
        """Requests that have not ended: in flight, or waiting for anything."""
        return sum(pool.pending for pool in self._pools.values())

    async def _shared(self, request: Request) -> Completion:
        """Get a completion while others who want the same one wait for it."""
        running = self._running[request.key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._stored(request) or await self._fetched(request)
        except asyncio.CancelledError:
            running.cancel()
            raise
        except Exception as error:
            if isinstance(error, RequestFailedError):
                error.role = request.role.name
                self._progress.role(error.role).failed += 1
            running.set_exception(error)
            running.exception()  # perhaps nobody waits, which is no fault
            raise
        else:
            running.set_result(completion)
            return completion
        finally:
            del self._running[request.key]

    async def _stored(self, request: Request) -> Completion | None:
        completion = await self._store.completions.find(request.key)
        if completion is None:
            for name, other in self._reused.items():
                if (completion := await other.completions.find(request.key)) is not None:
                    await self._store.completions.save(completion, request.sent, reused_from=name)
                    break
        if completion is not None:
            self._progress.role(request.role.name).stored += 1
        return completion

    async def _fetched(self, request: Request) -> Completion:
        """Send a request until it is answered or given up: the whole life of a request, in one loop.

        It has a slot from the moment when it may be sent until it is answered, or its failure is recorded, so that an endpoint
        where everything fails is not flooded. All that it has to wait for besides (its turn, the budget, a rate limit, an open
        circuit breaker, the delay before a retry) it waits for without one.
        """
        if self._stop.is_set():
            raise DrainedError
        role, pool = request.role, self._pools[request.role.name]
        outcome: ChatAnswer | RequestError
        with pool.request() as retries:
            while True:
                if self.lane is not None and (found := await self.lane.outcome(request, retries)) is not None:
                    if isinstance(found, Completion):
                        return found
                    await self._after(found, request, retries, pool.clock())
                    continue
                body = request.body(retries.redraws, service_tier=role.settings.service_tier)
                tokens = pool.expected_tokens(body)
                with Charge(self._budget, role.name, role.settings, body, role.most) as charge:
                    endpoint = await pool.acquire(tokens, retries.failed_at, charge.reserve, urgent=request.is_probe)
                    try:
                        self._check_space()
                        await charge.commit()
                        self._progress.role(role.name).sent += 1
                        start = pool.clock()
                        outcome = await endpoint.ask(body, tokens, adapts=retries.adapts)
                        price = self._price_of(role, outcome, endpoint.name)
                        charge.answered(outcome.usage, price)
                        seconds = pool.clock() - start
                    except RequestError as error:
                        charge.failed(error)
                        await self._save_failure(request, error, endpoint.name, pool.clock() - start)
                        outcome = error
                    finally:
                        pool.release(endpoint)
                if isinstance(outcome, ChatAnswer):
                    pool.answered(outcome.usage, start, request.prompt)
                    return await self._save(request, outcome, endpoint.name, seconds, price)
                await self._after(outcome, request, retries, start)

    async def _after(self, error: RequestError, request: Request, retries: Retries, sent_at: float) -> None:
        """Wait after a failed attempt until the next one. Raises RequestFailedError if there is to be none."""
        pool = self._pools[request.role.name]
        delay = retries.seconds_after(error)
        if isinstance(error, UnclearRejectionError) and not pool.untried(retries.failed_at):
            await self._clarify(request, error, retries.failed_at, sent_at)
        await pool.sleep(delay)

    async def _clarify(
        self, request: Request, error: UnclearRejectionError, rejected_at: Collection[str], sent_at: float
    ) -> None:
        """Find out whether this request or every request is rejected, where the server's words leave it open.

        If a request that was sent later was answered, or a probe is, it is this one: raises RequestFailedError. If the probe is
        rejected too, the endpoints that rejected both are given up. Else nothing is known yet, and the request is sent again.
        """
        role, pool = request.role, self._pools[request.role.name]
        is_its_own = request.is_probe or pool.has_accepted_since(sent_at) or await self._probe(role, sent_at)
        if is_its_own:
            raise RequestFailedError(error.reason, error.detail, status=error.status) from error
        if is_its_own is False:
            pool.disable(rejected_at, error)

    async def _probe(self, role: RoleRequests, after: float) -> bool | None:
        """Whether a harmless request, sent later than at `after`, is answered; None if it failed without being rejected.

        Requests that are rejected meanwhile share one probe.
        """
        begun, probe = self._probes.get(role.name, (-math.inf, None))
        if probe is None or begun <= after:
            number = SampleRange.PROBE + int(self._pools[role.name].clock())
            harmless = _PROBE if role.sampling.api is None else _SCORED_PROBE
            request = replace(role.request(self.sent(role.name, harmless), number, None), is_probe=True)
            probe = asyncio.create_task(self._answered(request), name=f"probe of {role.name}")
            self._probes[role.name] = self._pools[role.name].clock(), probe
        return await asyncio.shield(probe)

    async def _answered(self, request: Request) -> bool | None:
        """Whether a probe is answered; False if it is rejected, None if it fails otherwise."""
        try:
            await self._fetched(request)
        except RequestFailedError as error:
            return False if isinstance(error.__cause__, UnclearRejectionError) else None
        return True

    async def _save(
        self, request: Request, answer: ChatAnswer, endpoint: str, seconds: float, price: Price | None
    ) -> Completion:
        """Commit and count a completion."""
        role, counters = request.role, self._progress.role(request.role.name)
        completion = Completion(
            key=request.key,
            role=role.name,
            model=role.settings.model,
            revision=role.settings.revision,
            sample=request.sample,
            text=answer.text,
            finish_reason=answer.finish_reason,
            usage=answer.usage,
            latency_seconds=seconds,
            endpoint=endpoint,
            response_id=answer.response_id,
            cost_usd=cost_usd(answer.usage, price),
            created_at=now(),
            served_model=answer.served_model,
            system_fingerprint=answer.system_fingerprint,
            thinking=thinking_to_store(answer, request.prompt),
            service_tier=answer.service_tier,
        )
        counters.answered += 1
        counters.attempted(endpoint, ANSWERED, seconds)
        if self._traces is not None:
            self._traces.attempted(request, endpoint, answer, seconds)
        if completion.cost_usd is None and costs(role.settings):
            self._note_uncounted(role.name, endpoint)
        if self._progress.log_texts:
            texts = [{"role": message.role, "content": message.content} for message in request.messages]
            self._progress.log_event("answered", role=role.name, key=request.key, messages=texts, text=completion.text)
        await self._store.completions.save(completion, request.sent)
        counters.prompt_tokens += completion.usage.prompt_tokens or 0
        counters.completion_tokens += completion.usage.completion_tokens or 0
        return completion

    def _note_uncounted(self, role: str, endpoint: str) -> None:
        """Say once for each endpoint of a role that its answers have no count of tokens."""
        if (role, endpoint) in self._uncounted:
            return
        self._uncounted.add((role, endpoint))
        self._progress.note(
            f"{endpoint} sent an answer of {role} without numbers of tokens that can be true; what such answers cost is not "
            "known, and each counts as the most that it can cost"
        )

    def _price_of(self, role: RoleRequests, answer: ChatAnswer, endpoint: str) -> Price | None:
        """The price of an answer by its service tier; says once for an endpoint that it is not known."""
        price, is_known = role.price_of(answer.service_tier)
        seen = role.name, endpoint, answer.service_tier is None
        if not is_known and seen not in self._unknown_tiers:
            self._unknown_tiers.add(seen)
            said, counted = "does not say which service tier it used", ""
            if answer.service_tier is not None:
                said = f"says that it used the service tier {answer.service_tier!r}, whose price is not known"
            if price is not None and costs(role.settings):
                counted = (
                    f"; each such answer counts as the dearest that it can be, ${price.input:g} in and ${price.output:g} out "
                    "per million tokens"
                )
            self._progress.note(f"{endpoint} {said} for {role.name}{counted}", quotes=True)
        return price

    async def _save_failure(self, request: Request, error: RequestError, endpoint: str, seconds: float) -> None:
        """Commit and count an attempt that gave no completion."""
        role, counters = request.role, self._progress.role(request.role.name)
        counters.failed_attempts[error.reason] += 1
        counters.attempted(endpoint, error.reason, seconds)
        if self._traces is not None:
            self._traces.attempted(request, endpoint, error, seconds)
        self._progress.log_event(
            "attempt_failed",
            role=role.name,
            endpoint=endpoint,
            reason=error.reason,
            status=error.status,
            seconds=round(seconds, 3),
            key=request.key,
        )
        if isinstance(error, RetryableError) and (error.retry_after_seconds or 0) > LONG_WAIT_SECONDS:
            sentence = f"{endpoint} asks to wait {error.retry_after_seconds:.0f} s ({error.detail})"
            self._progress.note(sentence, quotes=True)
        attempt = Attempt(
            key=request.key,
            role=role.name,
            model=role.settings.model,
            endpoint=endpoint,
            reason=error.reason,
            detail=error.detail,
            status=error.status,
            billed=error.billed,
            latency_seconds=seconds,
        )
        await self._store.completions.save_attempt(attempt)
