"""What an evaluation would request, before it does: calls, tokens and dollars by role. Nothing is written."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from clairgen.config.prices import check_budget
from clairgen.config.role import Role
from clairgen.errors import RequestFailedError
from clairgen.evaluation.evaluate import evaluation_ask
from clairgen.evaluation.evaluator import Item
from clairgen.evaluation.planned_evaluation import EvaluateOptions, Evaluation, evaluated_roles, numbered_items
from clairgen.inference.runtime import Runtime
from clairgen.long_texts import close_workers
from clairgen.pipeline.budget_limit import limit_of_run
from clairgen.pipeline.estimate import CHARACTERS_PER_TOKEN, RoleEstimate, guessed_answer, role_estimate
from clairgen.pipeline.expected_requests import ExpectedRequests
from clairgen.pipeline.model_requests import RoleRequests, answer_in, with_system
from clairgen.records import Completion, Message, Usage
from clairgen.store import RunDirectory, Spent, Store, reading
from clairgen.templates import Template

_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class EvaluationEstimate:
    """What a session would do and cost: of `items`, `done` have a result already, and `answers_found` answers are stored."""

    items: int
    done: int
    answers_found: int
    spent: Spent
    budget_usd: float | None
    roles: Sequence[RoleEstimate]


class _Forecast:
    """An `Ask` over the stored answers that counts those that are missing; a stand-in of the usual length is returned for one."""

    def __init__(self, roles: Mapping[str, Role], seed: int, store: Store | None) -> None:
        self.expected = {name: ExpectedRequests() for name in roles}
        self.found = set[str]()
        self._missing = set[str]()
        self._roles = {name: RoleRequests(name, role, seed) for name, role in roles.items()}
        self._store = store

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        of_role = self._roles[role]
        request = of_role.request(with_system(messages, of_role.settings.system), sample, template)
        if self._store is not None and (stored := await self._store.completions.find(request.key)) is not None:
            self.found.add(request.key)
            return answer_in(stored, request)
        if request.key not in self._missing:
            self._missing.add(request.key)
            self.expected[role].add(1, sum(len(message.content) for message in request.messages))
        return _stand_in(request.key, role, of_role.settings, sample)


async def estimate_evaluation(
    evaluation: Evaluation, run: Path | str, options: EvaluateOptions | None = None, *, runtime: Runtime | None = None
) -> EvaluationEstimate:
    """Estimate what `evaluate` would request with the same arguments; raises what it would refuse.

    An evaluator that asks once more where it cannot read an answer is taken to do so for every missing one.
    """
    options, runtime = options or EvaluateOptions(), runtime or Runtime()
    record, roles = evaluated_roles(evaluation, runtime)
    options.budget.check()
    directory = RunDirectory(Path(run))
    items = numbered_items(evaluation, options.limit)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(close_workers)
        store = None
        if directory.database.exists():
            store = await stack.enter_async_context(reading(directory))
        else:
            directory.check_new()
        limit = await limit_of_run(store, options.budget)
        if limit.limit_usd is not None:
            check_budget(roles)
        done = await store.evaluations.done(record.id, options.finished) if store is not None else set[int]()
        forecast = _Forecast(roles, evaluation.seed, store)
        left = [item for position, item in items if position not in done]
        for start in range(0, len(left), _AT_ONCE):
            await asyncio.gather(*(_add(evaluation, item, forecast) for item in left[start : start + _AT_ONCE]))
        samples = await store.completions.usage_samples() if store is not None else {}
        spent = await store.spending.total() if store is not None else Spent(0, 0, 0, 0, 0)
    return EvaluationEstimate(
        len(items),
        len(items) - len(left),
        len(forecast.found),
        spent,
        limit.limit_usd,
        [
            role_estimate(name, role, forecast.expected[name], samples.get((name, role.model)))
            for name, role in roles.items()
        ],
    )


async def _add(evaluation: Evaluation, item: Item, forecast: _Forecast) -> None:
    try:
        await evaluation.evaluator.score(item, evaluation_ask(forecast))
    except RequestFailedError:
        return  # a stored answer that cannot be used


def _stand_in(key: str, role: str, settings: Role, sample: int) -> Completion:
    """An answer of the length that is expected, which differs from every other."""
    text = f"[{key}] ".ljust(CHARACTERS_PER_TOKEN * guessed_answer(settings), ".")
    return Completion(
        key=key,
        role=role,
        model=settings.model,
        revision=settings.revision,
        sample=sample,
        text=text,
        finish_reason="stop",
        usage=Usage(),
        latency_seconds=0.0,
        endpoint="",
        response_id=None,
        cost_usd=None,
        created_at="",
    )
