"""The limit of a run's budget: the last one named, by the configuration or on the command line, until another is named."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from clairgen.config.prices import dollars
from clairgen.errors import ConfigError
from clairgen.pipeline.progress import Progress
from clairgen.store import Store

_KEY = "budget"  # in the run's metadata
_LARGEST_USD = 10**6


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """What a run may cost, in US dollars: None is no limit. `configured_usd` is the last limit that a configuration named."""

    limit_usd: float | None = None
    configured_usd: float | None = None


@dataclass(frozen=True, slots=True)
class NamedBudget:
    """What a command names: `flag_usd` and `lifted` on the command line, `configured_usd` in its configuration."""

    flag_usd: float | None
    lifted: bool
    configured_usd: float | None

    @property
    def names_one(self) -> bool:
        """Whether a new run would have a limit."""
        return not self.lifted and (self.flag_usd is not None or self.configured_usd is not None)

    def check(self) -> None:
        """Raise ConfigError for flags that name no budget, or contradict each other."""
        if self.flag_usd is not None and not 0 < self.flag_usd <= _LARGEST_USD:
            raise ConfigError(
                f"--budget-usd {self.flag_usd:g} is not a budget; give dollars above 0, at most a million"
            )
        if self.flag_usd is not None and self.lifted:
            raise ConfigError("--budget-usd sets a budget and --no-budget lifts it; give one of the two")


async def limit_of_run(store: Store | None, named: NamedBudget) -> BudgetLimit:
    """The limit that holds under a command; `store` is None for a new run.

    A flag counts first. A configuration names a limit only when it differs from the one that a configuration named last: a
    limit that a flag raised or lifted since then stays as the flag left it.
    """
    named.check()
    return _limit(named, await remembered_limit(store) if store is not None else BudgetLimit())


async def settle_limit(store: Store, named: NamedBudget, progress: Progress) -> BudgetLimit:
    """The limit that holds, which the run remembers from now on: it is committed before the first request that it holds for."""
    named.check()
    before = await remembered_limit(store)
    limit = _limit(named, before)
    for note in _notes(limit, before, named):
        progress.note(note)
    if limit != before:
        await store.metadata.put(*remembered_row(limit))
    return limit


async def remembered_limit(store: Store) -> BudgetLimit:
    """The limit that a run remembers."""
    value = await store.metadata.get(_KEY)
    return BudgetLimit() if value is None else BudgetLimit(**json.loads(value))


def remembered_row(limit: BudgetLimit) -> tuple[str, str]:
    """Key and value with which a run's metadata remembers a limit."""
    return _KEY, json.dumps(asdict(limit))


def _limit(named: NamedBudget, before: BudgetLimit) -> BudgetLimit:
    configured = named.configured_usd if named.configured_usd is not None else before.configured_usd
    if named.flag_usd is not None:
        return BudgetLimit(named.flag_usd, configured)
    if named.lifted:
        return BudgetLimit(None, configured)
    if configured != before.configured_usd:
        return BudgetLimit(configured, configured)
    return BudgetLimit(before.limit_usd, configured)


def _notes(limit: BudgetLimit, before: BudgetLimit, named: NamedBudget) -> Iterator[str]:
    """What the user should know: that the limit changed, or that one holds which the command does not name."""
    if before.limit_usd is not None and limit.limit_usd != before.limit_usd:
        now = f"is {dollars(limit.limit_usd)}" if limit.limit_usd is not None else "is lifted"
        yield f"the run's budget {now}; before this command it was {dollars(before.limit_usd)}"
    if named.flag_usd is not None or named.lifted or limit.limit_usd == named.configured_usd:
        return
    if limit.limit_usd is None:
        yield (
            f"budget_usd: {named.configured_usd:g} of the configuration does not hold, since --no-budget lifted the run's "
            "budget; set it again with --budget-usd"
        )
        return
    instead = f", not budget_usd: {named.configured_usd:g} of the configuration" if named.configured_usd else ""
    yield (
        f"the run keeps its budget of {dollars(limit.limit_usd)}, which an earlier command named{instead}; change it with "
        "--budget-usd, or lift it with --no-budget"
    )
