"""What tokens cost: a role's own price, else the dated table in `data/prices.yaml`, else that in `data/further_prices.json`.

Models that clairgen serves are free.

Costs are whole numbers of picodollars, so that sums of prices with up to six decimals are exact.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import orjson

from clairgen.config.role import Price, Role
from clairgen.config.service_tiers import providers, tier_prices
from clairgen.embedded.gguf import is_on_this_machine
from clairgen.errors import ConfigError
from clairgen.records import Usage

PICODOLLARS = 10**12
"""In a dollar; at one dollar per million tokens, a token costs a million of them."""
TEMPLATE_TOKENS = 1024
"""Most tokens that a chat template adds to a prompt beyond the bytes of the request: marks, a date, a system message."""


@dataclass(frozen=True, slots=True)
class PriceQuote:
    """A price and its source, for people to check: a dated page, `price_per_million`, or that clairgen serves the model."""

    price: Price
    source: str


def price_quote(role: Role) -> PriceQuote | None:
    """What a role's model costs: the highest price where its endpoints differ, None unless it is known for all of them."""
    if role.price_per_million is not None:
        return PriceQuote(role.price_per_million, "price_per_million")
    known = [_quote(endpoint, role.model) for endpoint in role.endpoints]
    found = [entry for entry in known if entry is not None]
    if len(found) < len(known):
        return None
    highest = Price(input=max(entry.price.input for entry in found), output=max(entry.price.output for entry in found))
    return PriceQuote(highest, "; ".join(dict.fromkeys(entry.source for entry in found)))


def batch_price(role: Role) -> Price | None:
    """What a role's model costs in a batch, None without a price; `with_prices` has filled in the direct one, if it is known."""
    price, factor = role.price_per_million, batch_factor(role)
    return None if price is None else Price(input=price.input * factor, output=price.output * factor)


def batch_factor(role: Role) -> float:
    """What a batch costs as a share of the direct price: the role's own factor, the provider's, or 1 where none is known."""
    if role.batches.price_factor is not None:
        return role.batches.price_factor
    known = [_batch_factors().get(urlsplit(endpoint).hostname or "", 1.0) for endpoint in role.endpoints]
    return max(known)


def with_prices(roles: Mapping[str, Role]) -> dict[str, Role]:
    """Roles with their known prices filled in; a role without a known price keeps None."""
    found = {name: price_quote(role) for name, role in roles.items()}
    return {
        name: role.model_copy(update={"price_per_million": entry.price if (entry := found[name]) else None})
        for name, role in roles.items()
    }


def check_budget(roles: Mapping[str, Role]) -> None:
    """Raise ConfigError unless every request has a known maximum cost."""
    _require_known_costs(roles, "budget_usd", ", or lift the budget with --no-budget")


def check_shared_budget(roles: Mapping[str, Role]) -> None:
    """The same for a budget that several sessions share."""
    _require_known_costs(roles, "the budget that several sessions share", "")


def _require_known_costs(roles: Mapping[str, Role], budget: str, instead: str) -> None:
    for name, role in roles.items():
        if role.price_per_million is None:
            raise ConfigError(
                f"{budget} needs a price for every model, and none is known for models.{name} ({role.model}); give it "
                f"price_per_million, with zeros if it costs nothing{instead}"
            )
        if costs(role) and role.longest_answer is None:
            raise ConfigError(
                f"{budget} needs max_tokens in models.{name}: without it the cost of an answer has no limit; give it{instead}"
            )
        if costs(role) and tier_prices(role).is_unknown:
            raise ConfigError(
                f"{budget} needs to know what service_tier: {role.service_tier} costs in models.{name}; give it "
                f"tier_price_factors, such as {{{role.service_tier}: 2}} for twice the standard price{instead}"
            )


def unpriced_sentence(models: Mapping[str, str]) -> str:
    """That no price is known for these models, by role."""
    named = ", ".join(f"models.{role} ({model})" for role, model in models.items())
    return f"no price is known for {named} at their endpoints, so their dollars are not counted; give price_per_million"


def costs(role: Role) -> bool:
    """Whether this role has a price above zero."""
    price = role.price_per_million
    return price is not None and (price.input > 0 or price.output > 0)


def picodollars(price: Price, prompt_tokens: int, answer_tokens: int) -> int:
    """What tokens cost, in picodollars."""
    return prompt_tokens * _per_token(price.input) + answer_tokens * _per_token(price.output)


def max_cost(role: Role, body: bytes, price: Price | None = None) -> int | None:
    """The most that a request can cost, in picodollars; None without a price or a limit of the answer.

    `price` is another one than the role's own, such as that of a service tier.
    No tokenizer in use makes more tokens of a text than it has bytes, and the request's JSON contains every byte of the prompt.
    """
    price = price or role.price_per_million
    if price is None or role.longest_answer is None:
        return None
    return picodollars(price, len(body) + TEMPLATE_TOKENS, role.longest_answer)


def cost_of_usage(usage: Usage, price: Price | None) -> int | None:
    """What an answer cost, in picodollars; None without a price or without the server's counts."""
    if price is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return picodollars(price, usage.prompt_tokens, usage.completion_tokens)


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """The same in US dollars."""
    cost = cost_of_usage(usage, price)
    return None if cost is None else cost / PICODOLLARS


def dollars(amount_usd: float) -> str:
    """An amount for people: to the cent where it is large, to a hundredth of a cent where it is small."""
    return f"${amount_usd:,.2f}" if amount_usd >= 10 else f"${amount_usd:,.4f}"


def rounded_up(amount_usd: float) -> float:
    """An amount rounded up to two significant digits."""
    exact = Decimal(str(amount_usd))
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), ROUND_CEILING)) if exact else 0.0


def plain_figure(amount_usd: float) -> str:
    """An amount as a flag takes it: digits, without an exponent."""
    return f"{Decimal(str(amount_usd)):f}".removesuffix(".0")


@cache
def _per_token(dollars_per_million: float) -> int:
    """Picodollars, rounded up."""
    return int((Decimal(str(dollars_per_million)) * 10**6).to_integral_value(ROUND_CEILING))


def _quote(endpoint: str, model: str) -> PriceQuote | None:
    if is_on_this_machine(endpoint):
        return PriceQuote(Price(input=0, output=0), "served by clairgen itself")
    return _table().get((urlsplit(endpoint).hostname or "", model))


@cache
def _table() -> dict[tuple[str, str], PriceQuote]:
    """Prices by host and model; our own table replaces the further one, which `make prices` takes from a package."""
    further = orjson.loads((resources.files("clairgen.data") / "further_prices.json").read_bytes())
    return dict(_listed(further)) | dict(_listed(providers()))


@cache
def _batch_factors() -> dict[str, float]:
    return {provider["host"]: float(provider["batch"]) for provider in providers() if "batch" in provider}


def _listed(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], PriceQuote]]:
    for provider in entries:
        for model, price in provider.get("models", {}).items():
            source = f"{provider['source']}, {provider['seen']}"
            yield (provider["host"], str(model)), PriceQuote(Price.model_validate(price), source)
