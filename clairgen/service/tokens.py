"""Who may do what: tokens with their scopes, known by their hashes alone."""

import datetime
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clairgen.config.strict_yaml import mapping, read_text, validated
from clairgen.errors import ConfigError
from clairgen.store import one_spelling, voter_fault

READ_VARIABLE: Final = "CLAIRGEN_TOKEN_READ"
REVIEW_VARIABLE: Final = "CLAIRGEN_TOKEN_REVIEW"
RUN_VARIABLE: Final = "CLAIRGEN_TOKEN_RUN"
MEMBER_VARIABLE: Final = "CLAIRGEN_TOKEN_MEMBER"
FEWEST_CHARACTERS: Final = 32
"""A shorter token could be guessed, and what is stored of it reversed."""


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    """To look at runs, reports and pairs."""
    REVIEW = "review"
    """To vote too."""
    RUN = "run"
    """To submit and cancel jobs too, which write into the folder and may cost money."""
    MEMBER = "member"
    """To be a member of a coordinated group, or a model server, and nothing else; `run` has it in it."""

    def allows(self, needed: "Scope") -> bool:
        """Whether who has this scope may do what needs the other one: each of the first three has those before it in it."""
        if Scope.MEMBER in (self, needed):
            return self is needed or self is Scope.RUN
        order = list(Scope)
        return order.index(self) >= order.index(needed)


_VARIABLES: Final = (
    (READ_VARIABLE, Scope.READ),
    (REVIEW_VARIABLE, Scope.REVIEW),
    (RUN_VARIABLE, Scope.RUN),
    (MEMBER_VARIABLE, Scope.MEMBER),
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may do; `name` is whose token it is, None for one without a name.

    `is_of_token` is False where no token is needed.
    """

    scope: Scope
    name: str | None = None
    is_of_token: bool = True

    @property
    def reviews(self) -> bool:
        """Whether votes are allowed."""
        return self.scope.allows(Scope.REVIEW)

    @property
    def runs(self) -> bool:
        """Whether jobs may be submitted."""
        return self.scope.allows(Scope.RUN)


class TokenEntry(BaseModel):
    """A token of the file: whose it is, what it allows, the SHA-256 of the token, and the last day on which it is valid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    scope: Scope
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    expires: datetime.date | None = None


class _TokenFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: list[TokenEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes
    grant: Grant
    expires: datetime.date | None


class Tokens:
    """The tokens that are valid. Without any, everybody who can reach the service may do everything."""

    def __init__(self, known: Sequence[_Known], today: Callable[[], datetime.date]) -> None:
        self._known = known
        self._today = today

    @property
    def are_needed(self) -> bool:
        """Whether a token is asked for at all."""
        return bool(self._known)

    @property
    def let_somebody_run(self) -> bool:
        """Whether there is a token with the scope run."""
        return any(one.grant.runs for one in self._known)

    def grant(self, token: str | None) -> Grant | None:
        """What a token allows; None for a wrong or expired one. The time that this takes does not depend on how wrong it is."""
        if not self._known:
            return Grant(Scope.RUN, is_of_token=False)
        digest = _digest(token or "")
        found: Grant | None = None
        for one in self._known:
            if hmac.compare_digest(one.digest, digest) and (one.expires is None or self._today() <= one.expires):
                found = one.grant
        return found


def read_tokens(environment: Mapping[str, str], file: Path | None, today: Callable[[], datetime.date]) -> Tokens:
    """The tokens of the environment, and of a file with hashes if one is named. Raises ConfigError, without a token in it."""
    known: list[_Known] = []
    for variable, scope in _VARIABLES:
        token = environment.get(variable)
        if token is None:
            continue
        if len(token) < FEWEST_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(
                f"{variable} is a token of at least {FEWEST_CHARACTERS} ASCII characters without spaces, such as that of: "
                "openssl rand -hex 32"
            )
        known.append(_Known(_digest(token), Grant(scope), None))
    if file is not None:
        found = validated(mapping(read_text(file), _TokenFile, str(file)), _TokenFile, str(file))
        for entry in found.tokens:
            if (fault := voter_fault(entry.name)) is not None:
                raise ConfigError(f"{file}: tokens: name {fault}")
            known.append(
                _Known(bytes.fromhex(entry.sha256), Grant(entry.scope, one_spelling(entry.name)), entry.expires)
            )
    return Tokens(known, today)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
