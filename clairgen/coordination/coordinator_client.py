"""A member's way to its coordinator: one request at a time, and what became of it in three kinds of errors."""

import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import TypeAdapter, ValidationError

from clairgen.coordination.wire import (
    API,
    LONGEST_NAME,
    NAME,
    Beat,
    Claim,
    Claimed,
    Granted,
    Join,
    Leave,
    ModelServer,
    Wire,
)
from clairgen.errors import ClairgenError, ConfigError, ReplacedError, RetryableError
from clairgen.inference.transport import Response, Timeouts, Transport
from clairgen.patterns import lazy_pattern

COORDINATOR_VARIABLE: Final = "CLAIRGEN_COORDINATOR"
"""What `--coordinator` is, where it is left out."""
MEMBER_VARIABLES: Final = ("CLAIRGEN_TOKEN_MEMBER", "CLAIRGEN_TOKEN_RUN")
"""Where a member looks for its token."""
OPERATOR_VARIABLES: Final = ("CLAIRGEN_TOKEN_RUN", "CLAIRGEN_TOKEN_REVIEW", "CLAIRGEN_TOKEN_READ")
"""The same for whoever looks after groups."""
_TIMEOUTS: Final = Timeouts(connect=2.0, first_byte=4.0, total=4.0)
_LATER: Final = (408, 425, 429)
_UNAUTHORIZED: Final = 401
_NO_SERVICE: Final = "its answer cannot be read; is it a clairgen service of this version?"
_GONE: Final = 410
_NAME: Final = lazy_pattern(NAME)
_Answer = TypeVar("_Answer", bound=Wire)


class SilentError(ClairgenError):
    """The coordinator gave no answer, or none that says anything; it may have read what was sent."""


@dataclass(frozen=True, slots=True)
class CoordinatorAddress:
    """Where a coordinator is, and the token for it; `group` is a name that the user gave, None for that of the configuration.

    `variables` are those in which a token is looked for.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    group: str | None = None
    variables: Sequence[str] = MEMBER_VARIABLES

    @classmethod
    def of(
        cls,
        url: str,
        environment: Mapping[str, str],
        group: str | None = None,
        variables: Sequence[str] = MEMBER_VARIABLES,
    ) -> "CoordinatorAddress":
        """The address by a flag, with the token of one of the variables. Raises ConfigError for what is no URL, or no name."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigError(f"--coordinator {url!r} is not the URL of a service, such as http://head-node:8321")
        if group is not None and (len(group) > LONGEST_NAME or not _NAME.fullmatch(group)):
            raise ConfigError(f"--group {group!r} is not a name; use letters, digits, dots, - and _")
        token = next((environment[name] for name in variables if environment.get(name)), None)
        return cls(url.rstrip("/"), token, group, variables)


class CoordinatorClient:
    """Sends what a member of `group` has to say.

    Every method raises SilentError where there is no answer, ConfigError with the coordinator's sentence where it refuses, and
    ReplacedError where another process has taken this one's place.
    """

    def __init__(self, transport: Transport, address: CoordinatorAddress, group: str) -> None:
        self._transport = transport
        self._base = f"{address.url}{API}"
        self._group = f"{self._base}/groups/{quote(group)}"
        self._variables = address.variables
        # Many members with a connection each that is used every few seconds would use up those of the service.
        self._headers = {"content-type": "application/json", "connection": "close"}
        if address.token:
            self._headers["authorization"] = f"Bearer {address.token}"

    async def claim(self, claim: Claim) -> Claimed:
        """Ask for a shard."""
        return _read(await self._post(f"{self._group}/claim", claim), Claimed)

    async def join(self, join: Join) -> None:
        """Begin to work on a run."""
        await self._post(f"{self._group}/join", join)

    async def beat(self, beat: Beat) -> Granted:
        """Report, and be told what may be sent."""
        return _read(await self._post(f"{self._group}/beat", beat), Granted)

    async def leave(self, leave: Leave) -> None:
        """End."""
        await self._post(f"{self._group}/leave", leave)

    async def announce(self, server: ModelServer) -> None:
        """A model server is there."""
        await self._post(f"{self._base}/servers", server)

    async def withdraw(self, server: ModelServer) -> None:
        """A model server ends."""
        await self._post(f"{self._base}/servers/withdraw", server)

    async def overview(self) -> list[dict[str, Any]]:
        """All groups, as `Group.overview` of the service has them."""
        body = (await self._answer(self._transport.get(self._base, self._headers, _TIMEOUTS))).body
        try:
            found = TypeAdapter(list[dict[str, Any]]).validate_json(body)
        except ValidationError as error:
            raise SilentError(_NO_SERVICE) from error
        if not all("group" in one for one in found):
            raise SilentError(_NO_SERVICE)
        return found

    async def free(self, run_id: str) -> float:
        """Free what a run holds that nothing will spend; how many dollars that were."""
        freed: float = json.loads((await self._post(f"{self._group}/runs/{quote(run_id, safe='')}/free")).body)[
            "freed_usd"
        ]
        return freed

    async def forget(self, group: str) -> None:
        """Forget a group."""
        await self._post(f"{self._base}/groups/{quote(group)}/forget")

    async def _post(self, url: str, message: Wire | None = None) -> Response:
        body = b"{}" if message is None else message.model_dump_json(exclude_none=True).encode()
        return await self._answer(self._transport.post(url, self._headers, body, _TIMEOUTS))

    async def _answer(self, asked: Awaitable[Response]) -> Response:
        try:
            response = await asked
        except RetryableError as error:
            raise SilentError(error.detail) from error
        if response.status < 300:
            return response
        said = _sentence(response)
        if response.status >= 500 or response.status in _LATER:
            raise SilentError(f"status {response.status}: {said}")
        if response.status == _GONE:
            raise ReplacedError(f"the coordinator says: {said}")
        where = self._base.removesuffix(API)
        if response.status == _UNAUTHORIZED:
            raise ConfigError(
                f"the coordinator at {where} asks for a valid token; set {' or '.join(self._variables)} to one of its own"
            )
        raise ConfigError(f"the coordinator at {where} refuses: {said}")


def _read(response: Response, kind: type[_Answer]) -> _Answer:
    try:
        return kind.model_validate_json(response.body)
    except ValidationError as error:
        raise SilentError(_NO_SERVICE) from error


def _sentence(response: Response) -> str:
    try:
        said = json.loads(response.body)["detail"]
    except (ValueError, KeyError, TypeError):
        return f"status {response.status}"
    return str(said)[:1000]
