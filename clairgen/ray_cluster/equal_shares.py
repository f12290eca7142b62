"""What all shards may do together, divided by their number: rate limits and the budget, where nobody leases them out."""

from collections.abc import Iterator

from clairgen.config.models import RunConfig
from clairgen.config.prices import dollars
from clairgen.wording import counted

_LIMITS = {"requests_per_minute": "requests", "tokens_per_minute": "tokens"}


def share_of(config: RunConfig, shards: int) -> RunConfig:
    """The configuration of each shard: one N-th of every limit a minute and of the budget."""
    models = {
        name: role.model_copy(
            update={limit: rate / shards for limit in _LIMITS if (rate := getattr(role, limit)) is not None}
        )
        for name, role in config.models.items()
    }
    budget_usd = config.budget_usd / shards if config.budget_usd is not None else None
    return config.model_copy(update={"models": models, "budget_usd": budget_usd})


def share_sentence(config: RunConfig, shards: int, budget_usd: float | None) -> str | None:
    """What each shard gets, in a sentence; None if nothing is divided."""
    parts = list(_parts(config, shards, budget_usd)) if shards > 1 else []
    return f"each of {counted(shards, 'shard')} gets its share: {', '.join(parts)}" if parts else None


def _parts(config: RunConfig, shards: int, budget_usd: float | None) -> Iterator[str]:
    if budget_usd is not None:
        yield f"{dollars(budget_usd / shards)} of {dollars(budget_usd)}"
    for name, role in config.models.items():
        for limit, what in _LIMITS.items():
            if (rate := getattr(role, limit)) is not None:
                yield f"{rate / shards:,.6g} of {name}'s {rate:,.6g} {what} a minute"
