"""What a run would request, before it does: calls, tokens and dollars by role (`generate --dry-run`). Nothing is written."""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from clairgen.config.models import RunConfig
from clairgen.config.prices import (
    PICODOLLARS,
    PriceQuote,
    batch_factor,
    check_budget,
    cost_usd,
    costs,
    price_quote,
    with_prices,
)
from clairgen.config.role import Price, Role
from clairgen.config.service_tiers import tier_prices
from clairgen.inference.factory import check_keys, with_revisions
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.batch_lane.batch_roles import roles_with_batches
from clairgen.pipeline.budget_limit import limit_of_run
from clairgen.pipeline.config_changes import accepted_changes, has_other_tasks, task_facts
from clairgen.pipeline.coordinated import with_shard
from clairgen.pipeline.detaching import check_detach
from clairgen.pipeline.expected_requests import ExpectedRequests, RequestForecast
from clairgen.pipeline.generate import Options, named_budget, named_part, other_run
from clairgen.pipeline.import_pairs import OpenedSource, open_imports
from clairgen.pipeline.ingest import ingest_state
from clairgen.pipeline.plans import PlannedRecipe, plan_recipes, roles_used
from clairgen.pipeline.run_shard import part_of, shard_of_session, stored_part
from clairgen.pipeline.task_survey import ImportSurvey, TaskSurvey
from clairgen.records import Task, Usage
from clairgen.sources import check_source
from clairgen.store import RunDirectory, Spent, Store, UsageSample, reading
from clairgen.store.metadata import same_source
from clairgen.wording import counted, one_line_repr

ENOUGH = 20
"""Completions of a role from which on their mean is a better estimate than a guess from characters."""
CHARACTERS_PER_TOKEN = 4
"""Of English text, under the tokenizers of current models."""
ASSUMED_ANSWER_TOKENS = 500
"""Before a role's first completion, unless max_tokens is lower; real revisers' answers had 667 on average."""
_Z_95 = 1.96
_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class CostInterval:
    """An expected cost in US dollars with its 95% interval."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class RoleEstimate:
    """What would be requested of a role.

    `measured` is whether the tokens are means of stored completions; otherwise they are guessed from characters. Dollars are
    None without a price; `low_usd` and `high_usd`, a 95% interval, also where nothing was measured; `most_usd`, the cost if
    every answer takes its max_tokens, also without that limit. Dollars are those of the requested service tier and of the role's
    `delivery`; `tiers_usd` is what is expected by tier, empty where they cost the same, `tiers_source` where that is from,
    and `other_usd` what is expected by the other delivery, None where they cost the same.
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
    price_quote: PriceQuote | None
    service_tier: str | None = None
    tiers_usd: Mapping[str, float] = field(default_factory=dict)
    tiers_source: str = ""
    delivery: str = "direct"
    other_usd: float | None = None

    def __repr__(self) -> str:
        dollars = [] if self.expected_usd is None else [f"about ${self.expected_usd:,.2f}"]
        return one_line_repr(self, f"{self.role} {self.model}", counted(self.calls, "call"), *dollars)


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a session of `generate` would do and cost.

    `answers_found` counts answers that the pairs need and that the run or a reused one has; `spent` is what the run has cost so
    far, `budget_usd` the limit that would hold. `notes` say what an accepted change of the configuration means, what waits in
    open batches and of which tier no price is known, `imports` what would be imported.
    """

    tasks: int
    duplicates: int
    bad_rows: int
    pairs_made: int
    answers_found: int
    spent: Spent
    budget_usd: float | None
    roles: list[RoleEstimate]
    notes: list[str]
    imports: list[ImportSurvey]

    @property
    def spent_usd(self) -> float:
        """What the run can have cost so far."""
        return self.spent.total / PICODOLLARS

    def __repr__(self) -> str:
        calls = [f"{role.role} {counted(role.calls, 'call')}" for role in self.roles]
        prices = [role.expected_usd for role in self.roles]
        dollars = [f"about ${sum(price or 0 for price in prices):,.2f}"] if None not in prices and prices else []
        return one_line_repr(self, counted(self.tasks, "task"), *calls, *dollars)


async def estimate(
    config: RunConfig, run: Path | str, options: Options | None = None, *, runtime: Runtime | None = None
) -> CostEstimate:
    """Estimate what `generate` would request with the same arguments. Raises UserError for what `generate` would refuse.

    Answers that the run or a reused one has, and requests that recipes share, are not counted again. Nor are second requests
    of revisions that would fail their check, nor those of retries.
    """
    options, runtime = options or Options(), runtime or Runtime()
    roles = with_revisions(roles_used(config))
    planned = plan_recipes(config, roles)
    check_keys(roles, runtime.environment)
    check_detach(options.detach, roles)
    named = named_budget(config, options)
    named.check()
    if config.tasks is not None:
        check_source(config.tasks)
    imports = await asyncio.to_thread(open_imports, config)
    directory = RunDirectory(Path(with_shard(str(run), named_part(options), "--run")))
    async with AsyncExitStack() as stack:
        store = None
        if directory.database.exists():
            store = await stack.enter_async_context(reading(directory))
        else:
            directory.check_new()
        limit = await limit_of_run(store, named)
        if limit.limit_usd is not None:
            check_budget(with_prices(roles))
        waiting = frozenset[str]()
        if store is not None:
            roles_with_batches(roles, await store.batches.all(open_only=True), directory)
            waiting = frozenset(await store.batches.waiting_keys())
        reused = [await stack.enter_async_context(other_run(path, directory)) for path in options.reuse]
        notes: list[str] = []
        shard = await shard_of_session(store, directory.path, named_part(options), config)
        survey = await _survey(store, config, planned, options, notes, imports, part_of(shard, config))
        stores = [*([store] if store is not None else []), *reused]
        answer_characters = {name: CHARACTERS_PER_TOKEN * guessed_answer(role) for name, role in roles.items()}
        forecast = RequestForecast(roles, config.seed, stores, answer_characters, waiting)
        await _forecast(forecast, survey, planned)
        notes.extend(_terms(forecast, with_prices(roles)))
        samples = await store.completions.usage_samples() if store is not None else {}
        statuses = await store.pairs.statuses() if store is not None else {}
        spent = await store.spending.total() if store is not None else Spent(0, 0, 0, 0, 0)
    return CostEstimate(
        tasks=survey.tasks,
        duplicates=survey.duplicates,
        bad_rows=survey.bad_rows,
        pairs_made=sum(counts.get("made", 0) for counts in statuses.values()),
        answers_found=forecast.found,
        spent=spent,
        budget_usd=limit.limit_usd,
        roles=[
            role_estimate(name, role, forecast.expected[name], samples.get((name, role.model)))
            for name, role in roles.items()
        ],
        notes=notes,
        imports=[one for one in survey.imports if not one.complete],
    )


def _terms(forecast: RequestForecast, roles: Mapping[str, Role]) -> Iterator[str]:
    """What to know beside the numbers: requests that are sent already, and tiers whose price is not known."""
    if forecast.in_batches:
        waits = "request waits" if forecast.in_batches == 1 else "requests wait"
        yield (
            f"{forecast.in_batches:,} {waits} in open batches and would not be sent again; what that can cost is counted as spent"
        )
    for name, role in roles.items():
        if costs(role) and tier_prices(role).is_unknown:
            yield (
                f"what service_tier: {role.service_tier} costs is not known for models.{name}, so its dollars are those of the "
                f"standard tier; give it tier_price_factors, such as {{{role.service_tier}: 2}} for twice that price"
            )


async def _survey(
    store: Store | None,
    config: RunConfig,
    planned: list[PlannedRecipe],
    options: Options,
    notes: list[str],
    imports: list[OpenedSource],
    part: Callable[[Task], bool] | None,
) -> TaskSurvey:
    """The tasks to estimate for, once changes of the configuration are accepted; `notes` says what they mean."""
    state = await ingest_state(store) if store is not None else None
    facts = task_facts(config, state)
    surveys = [await ImportSurvey.begun(store, opened) for opened in imports]
    changed: set[str] = set()
    if store is not None:
        part = await stored_part(store, config, state, facts) or part
        other_tasks = has_other_tasks(state, facts)
        accepted = options.accept_changes
        changed = await accepted_changes(store, planned, notes.append, other_tasks=other_tasks, accepted=accepted)
        other = state is not None and facts is not None and not same_source(state.source, facts)
        if other and not await store.metadata.plans():
            store = None  # `ingest` would read the tasks as new
    finished = ("made",) if options.retry_failed else ("made", "failed")
    done = {entry.recipe.name: () if entry.recipe.name in changed else finished for entry in planned}
    return TaskSurvey(
        config,
        store,
        state,
        facts,
        done,
        surveys,
        limit=options.limit,
        skip_bad_lines=options.skip_bad_lines,
        part=part,
    )


async def _forecast(forecast: RequestForecast, survey: TaskSurvey, planned: list[PlannedRecipe]) -> None:
    """Run the recipes of all tasks, many at once, so that look-ups go to the store in groups."""
    by_name = {entry.recipe.name: entry for entry in planned}
    work: list[tuple[Task, list[PlannedRecipe]]] = []
    async for task, recipes in survey.to_make():
        work.append((task, [by_name[recipe] for recipe in recipes]))
        if len(work) >= _AT_ONCE:
            await asyncio.gather(*(forecast.add(*entry) for entry in work))
            work = []
    await asyncio.gather(*(forecast.add(*entry) for entry in work))


def role_estimate(name: str, role: Role, expected: ExpectedRequests, sample: UsageSample | None) -> RoleEstimate:
    """What the expected requests of a role take: measured where the role's model has answered often enough, else guessed."""
    calls = round(expected.calls)
    if sample is not None and sample.answers >= ENOUGH:
        return _by_terms(_measured(name, role, calls, sample), role)
    return _by_terms(_guessed(name, role, calls, expected.characters / CHARACTERS_PER_TOKEN), role)


def measured_cost(sample: UsageSample, calls: int, price: Price) -> CostInterval:
    """What `calls` more of the same kind cost.

    The interval counts two errors: that of the sample's mean, and the spread of the calls to come.
    """
    a, b = price.input / 1e6, price.output / 1e6
    mean = a * sample.prompt + b * sample.answer
    of_prompt = sample.prompt_squared - sample.prompt**2
    of_answer = sample.answer_squared - sample.answer**2
    of_both = sample.product - sample.prompt * sample.answer
    variance = (a * a * of_prompt + b * b * of_answer + 2 * a * b * of_both) * sample.answers / (sample.answers - 1)
    error = _Z_95 * math.sqrt(max(0.0, variance) * (calls**2 / sample.answers + calls))
    return CostInterval(max(0.0, calls * mean - error), calls * mean, calls * mean + error)


def _by_terms(standard: RoleEstimate, role: Role) -> RoleEstimate:
    """An estimate at the standard price as one at that of the role's delivery and tier; of `auto` the upper ends are direct."""
    directly, factor = _by_tier(standard, role), batch_factor(role)
    if standard.expected_usd is None or (factor == 1 and role.delivery == "direct"):
        return replace(directly, delivery=role.delivery)
    in_batches = standard.expected_usd * factor
    if role.delivery == "direct":
        return replace(directly, other_usd=in_batches)

    def cheaper(amount: float | None) -> float | None:
        return None if amount is None else amount * factor

    upper = standard if role.delivery == "batch" else directly
    upper_factor = factor if role.delivery == "batch" else 1.0
    return replace(
        directly,
        low_usd=cheaper(standard.low_usd),
        expected_usd=in_batches,
        high_usd=None if upper.high_usd is None else upper.high_usd * upper_factor,
        most_usd=None if upper.most_usd is None else upper.most_usd * upper_factor,
        delivery=role.delivery,
        other_usd=None if directly.expected_usd == in_batches else directly.expected_usd,
    )


def _by_tier(standard: RoleEstimate, role: Role) -> RoleEstimate:
    """An estimate at the standard price as one at that of the tier that is requested; the upper ends are the dearest's."""
    tiers = tier_prices(role)
    if standard.expected_usd is None:
        return replace(standard, service_tier=role.service_tier)
    dear = set(tiers.factors.values()) - {1.0}
    by_tier = {"standard": 1.0, **tiers.factors} if dear else {}

    def times(amount: float | None, factor: float) -> float | None:
        return None if amount is None else amount * factor

    return replace(
        standard,
        low_usd=times(standard.low_usd, tiers.expected),
        expected_usd=standard.expected_usd * tiers.expected,
        high_usd=times(standard.high_usd, tiers.expected),
        most_usd=times(standard.most_usd, tiers.most),
        service_tier=role.service_tier,
        tiers_usd={tier: standard.expected_usd * factor for tier, factor in by_tier.items()},
        tiers_source=tiers.source,
    )


def _measured(name: str, role: Role, calls: int, sample: UsageSample) -> RoleEstimate:
    found = price_quote(role)
    money = measured_cost(sample, calls, found.price) if found else None
    used = Usage(round(calls * sample.prompt), round(calls * sample.answer))
    return RoleEstimate(
        role=name,
        model=role.model,
        calls=calls,
        prompt_tokens=used.prompt_tokens or 0,
        answer_tokens=used.completion_tokens or 0,
        low_usd=money.low if money else None,
        expected_usd=money.expected if money else None,
        high_usd=money.high if money else None,
        most_usd=_most(role, calls, used, found),
        measured=True,
        price_quote=found,
    )


def _guessed(name: str, role: Role, calls: int, prompt_tokens: float) -> RoleEstimate:
    found = price_quote(role)
    used = Usage(round(prompt_tokens), calls * guessed_answer(role))
    return RoleEstimate(
        role=name,
        model=role.model,
        calls=calls,
        prompt_tokens=used.prompt_tokens or 0,
        answer_tokens=used.completion_tokens or 0,
        low_usd=None,
        expected_usd=cost_usd(used, found.price) if found else None,
        high_usd=None,
        most_usd=_most(role, calls, used, found),
        measured=False,
        price_quote=found,
    )


def _most(role: Role, calls: int, used: Usage, found: PriceQuote | None) -> float | None:
    if found is None or role.longest_answer is None:
        return None
    return cost_usd(Usage(used.prompt_tokens, calls * role.longest_answer), found.price)


def guessed_answer(role: Role) -> int:
    """Tokens of an answer, before there is one."""
    longest = role.longest_answer
    return ASSUMED_ANSWER_TOKENS if longest is None else min(longest, ASSUMED_ANSWER_TOKENS)
