"""How a limit is divided: max-min fair (Bertsekas and Gallager, 1992), so that what one does not use the others have."""

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

Member = TypeVar("Member", bound=Hashable)


def fair_shares(total: float, demands: Mapping[Member, float]) -> dict[Member, float]:
    """What each gets of `total`: at most its demand, and nobody more while somebody who wants it has less.

    What all of them together do not want is divided equally, so that whoever wants more next has it already.
    """
    shares: dict[Member, float] = {}
    left = total
    for count, (member, demand) in enumerate(sorted(demands.items(), key=lambda item: item[1])):
        share = min(demand, left / (len(demands) - count))
        shares[member] = share
        left -= share
    spare = left / len(demands) if demands and left > 0 else 0.0
    return {member: share + spare for member, share in shares.items()}


def whole_shares(total: int, demands: Mapping[Member, float], turn: int) -> dict[Member, int]:
    """The same in whole numbers; what is left of them goes where the largest fractions are, another member first each `turn`.

    Within a turn members with equal fractions keep what they have, whatever else they demand.
    """
    exact = fair_shares(float(total), demands)
    shares = {member: math.floor(share + 1e-9) for member, share in exact.items()}
    members = list(demands)
    first = turn % len(members) if members else 0
    in_turn = members[first:] + members[:first]
    by_fraction = sorted(in_turn, key=lambda member: round(shares[member] - exact[member], 6))
    for member in by_fraction[: total - sum(shares.values())]:
        shares[member] += 1
    return shares
