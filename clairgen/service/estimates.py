"""What a job that generates would ask and cost, before it is submitted; nothing is requested and nothing is written."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Body, Request

from clairgen.config.file import parse_config
from clairgen.config.prices import PICODOLLARS
from clairgen.errors import InputError
from clairgen.pipeline.estimate import CostEstimate, RoleEstimate, estimate
from clairgen.service.answers import Answered
from clairgen.service.jobs import require_run_scope
from clairgen.service.policy import Policy
from clairgen.service.request_models import GenerateRequest
from clairgen.service.tokens import Grant
from clairgen.store.job_records import QueueFullError

_SECONDS: Final = 60.0
_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class EstimatedRole:
    """What would be requested of a role, in tokens and dollars.

    Dollars are null without a known price, `low_usd` and `high_usd` also until tokens are `measured`, by answers that the run
    has. `most_usd` is what all answers cost if each is as long as it may be. `price` says where the price comes from.
    """

    role: str
    model: str
    calls: int
    prompt_tokens: int
    answer_tokens: int
    low_usd: float | None
    expected_usd: float | None
    high_usd: float | None
    most_usd: float | None
    measured: bool
    price: str | None

    @classmethod
    def of(cls, role: RoleEstimate) -> "EstimatedRole":
        """The object of a role's estimate."""
        names = [name for name in cls.__dataclass_fields__ if name != "price"]
        price = None if role.price_quote is None else role.price_quote.source
        return cls(**{name: getattr(role, name) for name in names}, price=price)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a session would request, beside `answers_found` that are stored already, and what the run has cost so far.

    `expected_usd` and `most_usd` are null where a role has no known price. `budget_usd` is the limit that would hold.
    """

    tasks: int
    duplicates: int
    bad_rows: int
    pairs_made: int
    pairs_to_import: int
    answers_found: int
    spent_usd: float
    budget_usd: float | None
    expected_usd: float | None
    most_usd: float | None
    roles: list[EstimatedRole]
    notes: list[str]

    @classmethod
    def of(cls, found: CostEstimate) -> "Estimate":
        """The object of an estimate."""
        return cls(
            tasks=found.tasks,
            duplicates=found.duplicates,
            bad_rows=found.bad_rows,
            pairs_made=found.pairs_made,
            pairs_to_import=sum(one.pairs for one in found.imports),
            answers_found=found.answers_found,
            spent_usd=found.spent.total / PICODOLLARS,
            budget_usd=found.budget_usd,
            expected_usd=_sum([role.expected_usd for role in found.roles]),
            most_usd=_sum([role.most_usd for role in found.roles]),
            roles=[EstimatedRole.of(role) for role in found.roles],
            notes=found.notes,
        )


class Estimates:
    """Makes estimates of what a policy allows, a few at once, each in a thread so that the service goes on answering."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._making: set[asyncio.Task[CostEstimate]] = set()

    async def estimate(self, request: GenerateRequest, grant: Grant) -> Estimate:
        """The estimate for a job. Raises UserError for what would be refused, QueueFullError, InputError if it takes too long."""
        require_run_scope(grant)
        if len(self._making) >= _AT_ONCE:
            raise QueueFullError(f"{_AT_ONCE} estimates are being made; ask again in a moment")
        making = asyncio.create_task(asyncio.to_thread(self._made, request), name="estimate")
        self._making.add(making)  # also after nobody waits for it
        making.add_done_callback(self._making.discard)
        try:
            async with asyncio.timeout(_SECONDS + 1):
                return Estimate.of(await asyncio.shield(making))
        except TimeoutError as error:
            raise InputError(
                f"the estimate takes longer than {_SECONDS:g} s: give a limit, or estimate it with clairgen generate --dry-run"
            ) from error

    def _made(self, request: GenerateRequest) -> CostEstimate:
        ready = request.prepared(self._policy)
        root = self._policy.root
        run = root.run_to_write(ready.run).path
        options = ready.session_options(root, 0)

        async def within_limits() -> CostEstimate:
            async with asyncio.timeout(_SECONDS):
                return await estimate(parse_config(str(ready.configuration)), run, options)

        return asyncio.run(within_limits())


def estimate_routes(estimates: Estimates) -> APIRouter:
    """The route to estimates."""
    routes = APIRouter(default_response_class=Answered)

    @routes.post("/api/estimates", response_model=Estimate, summary="What a job that generates would ask and cost")
    async def estimate_job(job: Annotated[GenerateRequest, Body()], request: Request) -> Answered:
        return Answered(await estimates.estimate(job, request.state.grant))

    return routes


def _sum(amounts: list[float | None]) -> float | None:
    known = [one for one in amounts if one is not None]
    return sum(known) if len(known) == len(amounts) else None
