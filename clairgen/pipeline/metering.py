"""Metering: every try of an ask that costs something is reserved before it is sent and settled by what came of it."""

from clairgen.config import Role
from clairgen.errors import AskError
from clairgen.pipeline.ledger import Ledger
from clairgen.prices import costs, most_picodollars, picodollars
from clairgen.records import Usage
from clairgen.store import Call


class Meter:
    """Keeps the ledger for a role. Each try is a call of its own, and ends in one of three ways."""

    def __init__(self, name: str, role: Role, ledger: Ledger) -> None:
        self._name = name
        self._role = role
        self._ledger = ledger

    async def begins(self, body: bytes) -> Call:
        """A call that may be sent now. Raises what `Ledger.reserve` raises."""
        return await self._ledger.reserve(self._name, most_picodollars(self._role, body))

    def answered(self, call: Call, usage: Usage) -> None:
        """It brought an answer, which cost what the server counted."""
        self._settle(call, usage.prompt_tokens, usage.completion_tokens)

    def failed(self, call: Call, error: AskError) -> None:
        """It failed. A refusal costs nothing; of a server's fault, or of silence, nobody knows what was done before."""
        refused = error.status is not None and 300 <= error.status < 500 and error.status != 408
        if refused or (error.status is None and not error.billed):
            self._ledger.settle(call, 0)
        else:
            self._settle(call, *(error.used or (None, None)))

    def lost(self, call: Call) -> None:
        """It was given up while it went on."""
        self._ledger.settle(call, None)

    def _settle(self, call: Call, prompt_tokens: int | None, answer_tokens: int | None) -> None:
        price = self._role.price_per_million
        if price is None or prompt_tokens is None or answer_tokens is None:
            self._ledger.settle(call, None)
        else:
            self._ledger.settle(call, picodollars(price, prompt_tokens, answer_tokens))


def meter(name: str, role: Role, ledger: Ledger | None) -> Meter | None:
    """The meter of a role; None where nothing costs anything that is known, and nothing has to be counted."""
    return Meter(name, role, ledger) if ledger is not None and costs(role) else None
