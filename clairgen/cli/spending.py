"""What a run has spent, in the same words and figures in every command."""

from typing import TYPE_CHECKING

from clairgen.pipeline.progress import Money

if TYPE_CHECKING:
    from clairgen.store import Spent


def spent_line(spent: "Spent | Money") -> str:
    """What a run can have cost so far, and how much of it is not certain."""
    from clairgen.config.prices import PICODOLLARS, dollars

    if not isinstance(spent, Money):
        spent = Money(spent.total / PICODOLLARS, spent.unsettled / PICODOLLARS, spent.open_calls, spent.uncounted_calls)
    parts = [f"Spent: {dollars(spent.spent_usd)}, failed attempts included"]
    if counted := spent.uncertain_calls - spent.uncounted_calls:
        parts.append(
            f"{dollars(spent.uncertain_usd)} of it is not certain: the most that {_requests(counted)} in flight or of unknown "
            "cost can have cost"
        )
    if spent.uncounted_calls:
        parts.append(f"not counted: {_requests(spent.uncounted_calls)} of unknown cost without max_tokens")
    return "; ".join(parts)


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"
