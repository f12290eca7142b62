"""What all shards may do together, divided by their number: limits and the budget, where nobody leases them out."""

from collections.abc import Iterator

from clairgen.config.endpoint_checks import is_registered
from clairgen.config.models import RunConfig
from clairgen.config.prices import dollars
from clairgen.config.role import Role
from clairgen.coordination.leased_limits import is_on_this_machine
from clairgen.wording import counted

_RATES = {"requests_per_minute": "requests", "tokens_per_minute": "tokens"}


def share_of(config: RunConfig, shards: int, served: str | None) -> RunConfig:
    """The configuration of each shard: one N-th of every limit a minute, of concurrency (at least 1), and of the budget.

    `served` is the model that replicas serve to all shards, if there are some.
    """
    models = {name: role.model_copy(update=dict(_limits(role, shards, served))) for name, role in config.models.items()}
    budget_usd = config.budget_usd / shards if config.budget_usd is not None else None
    return config.model_copy(update={"models": models, "budget_usd": budget_usd})


def share_sentence(config: RunConfig, shards: int, served: str | None, budget_usd: float | None) -> str | None:
    """What each shard gets, in a sentence; None if nothing is divided."""
    parts = list(_parts(config, shards, served, budget_usd)) if shards > 1 else []
    return f"each of {counted(shards, 'shard')} gets its share: {', '.join(parts)}" if parts else None


def _limits(role: Role, shards: int, served: str | None) -> Iterator[tuple[str, float]]:
    """What a shard has of a role's limits. Concurrency at its own machine alone is not shared, as with a coordinator."""
    rates = {limit: rate for limit in _RATES if (rate := getattr(role, limit)) is not None}
    for limit, rate in rates.items():
        yield limit, rate / shards
    if role.concurrency is not None and (rates or role.model == served or any(map(_is_shared, role.endpoints))):
        yield "concurrency", max(1, role.concurrency // shards)


def _is_shared(endpoint: str) -> bool:
    return is_registered(endpoint) or ("://" in endpoint and not is_on_this_machine(endpoint))


def _parts(config: RunConfig, shards: int, served: str | None, budget_usd: float | None) -> Iterator[str]:
    if budget_usd is not None:
        yield f"{dollars(budget_usd / shards)} of {dollars(budget_usd)}"
    for name, role in config.models.items():
        for limit, share in _limits(role, shards, served):
            what = f"{_RATES[limit]} a minute" if limit in _RATES else "requests at once"
            yield f"{share:,.6g} of {name}'s {getattr(role, limit):,.6g} {what}"
