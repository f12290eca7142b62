"""What rounds would request, before they do: the round that is next, and at most how much each later one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clairgen.config.models import RunConfig
from clairgen.iteration.lineage import Lineage
from clairgen.pipeline.estimate import RoleEstimate, estimate
from clairgen.pipeline.generate import Options

_ASKED_ONCE: Final = ("stronger", "other-")
"""Roles that are only asked the tasks themselves, so that every later round reuses their answers, unless a target has turns in
them.
"""


@dataclass(frozen=True, slots=True)
class RoleForecast:
    """Requests to a role: those of the next round, and at most those of each of `later` rounds after it.

    Dollars are for all of them together, None without a price; `most_usd` also without a limit of tokens.
    """

    role: str
    model: str
    next_round: int
    each_later: int
    expected_usd: float | None
    most_usd: float | None


async def forecast_rounds(
    next_config: RunConfig | None, run: Path, options: Options, fresh_config: RunConfig, later: int
) -> list[RoleForecast]:
    """The requests of the next round with `next_config` in `run`, and of `later` rounds after it, all roles in their order.

    `next_config` is None where no round is next whose target exists. Answers that are there are left out for the next round
    alone: how many texts of a target that is yet to be trained will be as they were cannot be known.
    """
    soon = {} if next_config is None else _by_role((await estimate(next_config, run, options)).roles)
    new_run = run.with_name(f"{run.name}-of-a-later-round")
    fresh = _by_role((await estimate(fresh_config, new_run, Options(skip_bad_lines=options.skip_bad_lines))).roles)
    asked_once = () if fresh_config.assistant_turns == "own" else _ASKED_ONCE
    return [
        _of_role(name, soon.get(name), of_later, 0 if name.startswith(asked_once) and name in soon else later)
        for name, of_later in fresh.items()
    ]


def rounds_left(lineage: Lineage | None, rounds: int) -> tuple[bool, int]:
    """Whether a round is next whose target exists already, and how many rounds come after it."""
    if lineage is None:
        return rounds > 0, max(0, rounds - 1)
    made = sum(each.pairs is not None for each in lineage.rounds)
    left = max(0, rounds - made)
    is_next = left > 0 and len(lineage.models) == made + 1
    return is_next, left - is_next


def _of_role(name: str, soon: RoleEstimate | None, fresh: RoleEstimate, times: int) -> RoleForecast:
    is_trained = name == "target"  # and served here, which costs nothing
    return RoleForecast(
        name,
        fresh.model,
        0 if soon is None else soon.calls,
        fresh.calls if times else 0,
        _sum(
            soon.expected_usd if soon else None,
            fresh.expected_usd,
            0 if is_trained else times,
            has_soon=soon is not None,
        ),
        _sum(soon.most_usd if soon else None, fresh.most_usd, 0 if is_trained else times, has_soon=soon is not None),
    )


def _sum(soon: float | None, fresh: float | None, times: int, *, has_soon: bool) -> float | None:
    if (has_soon and soon is None) or (times and fresh is None):
        return None
    return (soon or 0.0) + times * (fresh or 0.0)


def _by_role(estimates: Sequence[RoleEstimate]) -> dict[str, RoleEstimate]:
    return {each.role: each for each in estimates}
