"""What a session has done so far in words and figures, for terminals and pages alike."""

from clairgen.pipeline.progress import CopyState, Counters
from clairgen.records import EndpointState
from clairgen.wording import counted


def pairs_words(counters: Counters) -> str:
    """How many pairs are done."""
    return f"{counters.done:,} of {counted(counters.pairs_to_make, counters.noun)}, {sum(counters.failed.values()):,} failed"


def money_words(counters: Counters) -> str:
    """What the run has spent, of how much; empty where nothing costs anything."""
    from clairgen.config.prices import dollars  # takes long, and the help of commands does not need it

    money = counters.money
    if not money.spent_usd and not money.reserved_usd and money.budget_usd is None:
        return ""
    budget = f" of {dollars(money.budget_usd)}, {dollars(money.reserved_usd)} reserved" if money.budget_usd else ""
    return f"{dollars(money.spent_usd)} spent{budget}"


def copy_words(copy: CopyState | None) -> str:
    """How far the copy of a run is behind; empty where none is kept."""
    return "" if copy is None else f"copy {behind_words(copy)}"


def behind_words(copy: CopyState) -> str:
    """How far a copy is behind."""
    return "not complete yet" if copy.behind_seconds is None else f"{copy.behind_seconds:,.0f} s behind"


def time_left_words(counters: Counters) -> str:
    """How long the rest takes at the speed of this session."""
    if counters.done <= 0:
        return "no time estimate yet"
    left = int(max(counters.pairs_to_make - counters.done, 0) * counters.seconds / counters.done)
    return f"about {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"


def rate_limit_words(state: EndpointState) -> str:
    """The rate limit of an endpoint and where it is from; empty without one."""
    rates = ((state.requests_per_minute, "requests"), (state.tokens_per_minute, "tokens"))
    limits = [f"{rate:,.0f} {what}" for rate, what in rates if rate is not None]
    source = f" ({state.rate_limit_source})" if state.rate_limit_source else ""
    return f"{', '.join(limits)} a minute{source}" if limits else ""


def availability_words(state: EndpointState) -> str:
    """Whether an endpoint is sent requests: its circuit breaker, or a pause after a 429; empty where nothing stops them."""
    if state.circuit_breaker == "open":
        return f"circuit breaker open, tries again in {state.open_seconds:,.0f} s"
    if state.circuit_breaker != "closed":
        return "unusable" if state.circuit_breaker == "unusable" else f"circuit breaker {state.circuit_breaker}"
    return f"paused for {state.paused_seconds:,.0f} s" if state.paused_seconds > 0 else ""
