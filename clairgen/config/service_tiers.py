"""What a provider's service tiers cost, as shares of its standard price: those of the role, else of `data/prices.yaml`.

The tier that a server says it used counts, not the one that was requested. Where it says nothing, or a word without a known
price, the answer counts as the dearest that it can have been.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from clairgen.config.role import Price, Role

STANDARD: Final = frozenset({"default", "standard", "on_demand"})
"""Words for the tier that has the standard price."""
_NOT_DEARER: Final = STANDARD | {"flex", "auto"}
"""Tiers that are taken to cost the standard price at most where nothing is known of them."""


@dataclass(frozen=True, slots=True)
class TierPrices:
    """What the tiers of a role cost, by factors of its price; `requested` is the one that its requests name, if any.

    `source` says where the factors are from. `alike` is whether the role's price holds for whatever tier is used. `highest` is
    the factor of the dearest tier of any endpoint, also of one whose factor is not known for all of them.
    """

    requested: str | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    alike: bool = False
    highest: float = 1.0

    @property
    def expected(self) -> float:
        """The factor of the tier that is requested, 1 where it is not known."""
        return self.factor(self.requested or "standard") or 1.0

    @property
    def most(self) -> float:
        """The highest factor that an answer can be expected to have: any tier may fall back to the standard one."""
        factor = self.factor(self.requested or "standard")
        return self._dearest if factor is None else max(1.0, factor)

    @property
    def is_unknown(self) -> bool:
        """Whether the requested tier may cost more than the standard one, and it is not known how much."""
        return self.requested is not None and self.requested not in _NOT_DEARER and self.requested not in self.factors

    def factor(self, tier: str) -> float | None:
        """What a tier costs as a share of the standard price, None where it is not known; its word may be in capitals."""
        tier = tier.lower()
        return self.factors.get(tier, 1.0 if self.alike or tier in STANDARD else None)

    def of_answer(self, said: str | None) -> tuple[float, bool]:
        """The factor of an answer whose server says that it used this tier, and whether it is known or the highest possible."""
        if said is None:
            return self.most, self.requested is None
        factor = self.factor(said)
        return (max(self._dearest, self.most), False) if factor is None else (factor, True)

    @property
    def _dearest(self) -> float:
        return max(1.0, self.highest, *self.factors.values())


def tier_prices(role: Role) -> TierPrices:
    """What the tiers of a role cost: of several endpoints the highest factors, for tiers that are known for all of them.

    A tier in `extra` is not looked at: there the price that is given, or known, counts as it is.
    """
    if "service_tier" in role.extra:
        return TierPrices(alike=True)
    if role.tier_price_factors is not None:
        given: dict[str, float] = {tier: factor for tier, factor in role.tier_price_factors.items()}  # noqa: C416 - wider keys
        return TierPrices(role.service_tier, given, "tier_price_factors")
    known = [_of_host(urlsplit(endpoint).hostname or "", role.model) for endpoint in role.endpoints]
    common = sorted(set(known[0].factors).intersection(*(one.factors for one in known)))
    factors = {tier: max(one.factors[tier] for one in known) for tier in common}
    sources = dict.fromkeys(one.source for one in known if one.source)
    highest = max((factor for one in known for factor in one.factors.values()), default=1.0)
    return TierPrices(role.service_tier, factors, "; ".join(sources) if factors else "", highest=highest)


def at_factor(price: Price, factor: float) -> Price:
    """A price at a tier with this factor."""
    return price if factor == 1 else Price(input=price.input * factor, output=price.output * factor)


@cache
def providers() -> list[dict[str, Any]]:
    """The entries of `data/prices.yaml`."""
    text = (resources.files("clairgen.data") / "prices.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


def _of_host(host: str, model: str) -> TierPrices:
    for provider in providers():
        name, tiers = provider["host"], provider.get("tiers")
        if tiers is not None and (host == name or (name.startswith("*.") and host.endswith(name[1:]))):
            factors = tiers["factors"] | tiers.get("models", {}).get(model, {})
            return TierPrices(None, factors, f"{tiers['source']}, {tiers['seen']}")
    return TierPrices()
