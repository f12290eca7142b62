"""Metering: every try of an ask that costs something is reserved before it is sent and settled by what came of it."""

from collections.abc import Callable

from clairgen.config.models import Role
from clairgen.config.prices import costs, most_picodollars, picodollars
from clairgen.errors import AskError
from clairgen.pipeline.budget import Ledger
from clairgen.records import Usage
from clairgen.store import Call


class Meter:
    """The meter of an ask that costs nothing that is known: it counts nothing."""

    async def begins(self, body: bytes) -> None:
        """A try may be sent once this returns. Raises what `Ledger.reserve` raises."""

    def answered(self, usage: Usage) -> None:
        """The try brought an answer, which cost what the server counted."""

    def failed(self, error: AskError) -> None:
        """The try brought none."""

    def ends(self) -> None:
        """Nobody waits any more; what a try that is still out will cost is not known."""


class PricedMeter(Meter):
    """The meter of an ask that costs something. Each try is a call of its own in the ledger."""

    def __init__(self, name: str, role: Role, ledger: Ledger) -> None:
        self._name = name
        self._role = role
        self._ledger = ledger
        self._call: Call | None = None

    async def begins(self, body: bytes) -> None:
        """Reserve the most that the try can cost."""
        self._call = await self._ledger.reserve(self._name, most_picodollars(self._role, body))

    def answered(self, usage: Usage) -> None:
        """Settle the try by what the server counted."""
        self._settle(self._cost(usage.prompt_tokens, usage.completion_tokens))

    def failed(self, error: AskError) -> None:
        """A refusal costs nothing; of a server's fault, or of silence, nobody knows what was done before."""
        refused = error.status is not None and 300 <= error.status < 500 and error.status != 408
        unsent = error.status is None and not error.billed
        self._settle(0 if refused or unsent else self._cost(*(error.used or (None, None))))

    def ends(self) -> None:
        """Count a try that is still out at its most."""
        self._settle(None)

    def _cost(self, prompt_tokens: int | None, answer_tokens: int | None) -> int | None:
        price = self._role.price_per_million
        if price is None or prompt_tokens is None or answer_tokens is None:
            return None
        return picodollars(price, prompt_tokens, answer_tokens)

    def _settle(self, cost: int | None) -> None:
        if self._call is not None:
            self._ledger.settle(self._call, cost)
            self._call = None


def meters(name: str, role: Role, ledger: Ledger | None) -> Callable[[], Meter]:
    """What gives each ask of a role its meter."""
    if ledger is not None and costs(role):
        return lambda: PricedMeter(name, role, ledger)
    free = Meter()
    return lambda: free
