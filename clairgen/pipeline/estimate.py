"""What a run would request, before it does: calls, tokens and dollars by role (`generate --dry-run`). Nothing is written."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clairgen.config.models import RunConfig
from clairgen.config.prices import PICODOLLARS, PriceQuote, cost_usd, price_quote
from clairgen.config.role import Price, Role
from clairgen.inference.factory import with_revisions
from clairgen.keys import messages_json
from clairgen.pipeline.ingest import ingest_state, source_facts
from clairgen.pipeline.plans import PlannedRecipe, changes, has_other_tasks, plan_recipes, roles_used
from clairgen.records import Usage
from clairgen.sources import BadRow, check_source
from clairgen.store import RunDirectory, Store, UsageSample, reading
from clairgen.tasks import read_tasks
from clairgen.templates import transcript

ENOUGH = 20
"""Completions of a role from which on their mean is a better estimate than a guess from characters."""
CHARACTERS_PER_TOKEN = 4
"""Of English text, under the tokenizers of current models."""
ASSUMED_ANSWER_TOKENS = 500
"""Before a role's first completion, unless max_tokens is lower; real revisers' answers had 667 on average."""
_Z_95 = 1.96
_SHARED = ("target", "stronger")  # recipes share these roles' answers to a task


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
    every answer takes its max_tokens, also without that limit.
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


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a session of `generate` would do and cost; `spent_usd` is what the run has cost so far."""

    tasks: int
    duplicates: int
    bad_rows: int
    pairs_made: int
    spent_usd: float
    roles: list[RoleEstimate]


@dataclass(slots=True)
class _Tasks:
    count: int = 0
    duplicates: int = 0
    bad_rows: int = 0
    characters: int = 0


async def estimate(
    config: RunConfig, run: Path | str, limit: int | None = None, *, retry_failed: bool = False
) -> CostEstimate:
    """Estimate what `generate` would request for the tasks that have no pair in `run` yet. Raises UserError as generate does.

    Pairs whose recipe or tasks have changed count as to be made; completions that they share with the old ones, and those
    of `--reuse`, are not looked up, so the estimate is then too high. Second requests of revisions that fail their check
    are not counted.
    """
    roles = with_revisions(roles_used(config))
    planned = plan_recipes(config, roles)
    check_source(config.tasks)
    tasks = _count_tasks(config, limit)
    directory = RunDirectory(Path(run))
    done: dict[str, int] = {}
    made = 0
    spent = 0
    samples: dict[tuple[str, str], UsageSample] = {}
    if directory.database.exists():
        async with reading(directory) as store:
            made = sum(counts.get("made", 0) for counts in (await store.pairs.statuses()).values())
            done = await _done(store, config, planned, limit, retry_failed=retry_failed)
            samples = await store.completions.usage_samples()
            total = await store.spending.total()
            spent = total.settled + total.unsettled
    open_pairs = {entry.recipe.name: max(0, tasks.count - done.get(entry.recipe.name, 0)) for entry in planned}
    estimates = []
    for name, role in roles.items():
        using = [entry for entry in planned if name in entry.context.roles]
        by_recipe = [open_pairs[entry.recipe.name] * entry.recipe.calls(entry.context.choice, name) for entry in using]
        calls = max(by_recipe) if name in _SHARED else sum(by_recipe)
        sample = samples.get((name, role.model))
        if sample is None or sample.answers < ENOUGH:
            estimates.append(_guessed(name, role, calls, _guessed_prompt(name, using, tasks, roles)))
        else:
            estimates.append(_measured(name, role, calls, sample))
    return CostEstimate(tasks.count, tasks.duplicates, tasks.bad_rows, made, spent / PICODOLLARS, estimates)


async def _done(
    store: Store, config: RunConfig, planned: list[PlannedRecipe], limit: int | None, *, retry_failed: bool
) -> dict[str, int]:
    """Counts by recipe of the tasks that need no more requests."""
    state = await ingest_state(store)
    if has_other_tasks(state, source_facts(config.tasks, config.seed, state.source if state else None)):
        return {}
    changed = {change.recipe for change in changes(await store.metadata.plans(), planned)}
    finished = ("made",) if retry_failed else ("made", "failed")
    return {
        recipe: sum(counts.get(status, 0) for status in finished)
        for recipe, counts in (await store.pairs.statuses(limit)).items()
        if recipe not in changed
    }


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


def _count_tasks(config: RunConfig, limit: int | None) -> _Tasks:
    counted, seen = _Tasks(), set[int]()
    for row in read_tasks(config.tasks, config.seed):
        if isinstance(row, BadRow):
            counted.bad_rows += 1
            continue
        identity = hash(messages_json(row.task.messages))
        if identity in seen:
            counted.duplicates += 1
        elif limit is None or counted.count < limit:
            seen.add(identity)
            counted.count += 1
            counted.characters += len(transcript(row.task.messages))
    return counted


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
    used = Usage(round(calls * prompt_tokens), calls * _guessed_answer(role))
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


def _guessed_answer(role: Role) -> int:
    return min(role.longest_answer or ASSUMED_ANSWER_TOKENS, ASSUMED_ANSWER_TOKENS)


def _guessed_prompt(name: str, using: list[PlannedRecipe], tasks: _Tasks, roles: Mapping[str, Role]) -> float:
    """Tokens of the role's longest prompt: the task, the system message, and the template with the student's answer."""
    task = tasks.characters / max(tasks.count, 1) / CHARACTERS_PER_TOKEN
    system = len(roles[name].system or "") / CHARACTERS_PER_TOKEN
    templates = [entry.context.templates[name] for entry in using if name in entry.context.templates]
    if not templates:
        return task + system
    student = _guessed_answer(roles["target"]) if "target" in roles else ASSUMED_ANSWER_TOKENS
    longest = max(
        (len(template.slots) - 1) * student + len(template.text) / CHARACTERS_PER_TOKEN for template in templates
    )  # every slot but the task's holds an answer
    return task + system + longest
