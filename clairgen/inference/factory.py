"""From a configuration's roles to pools of endpoints: keys from the environment, embedded servers started."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import repeat

from clairgen.config.models import Role
from clairgen.embedded.address import embedded_address, is_embedded
from clairgen.embedded.gguf import weights_revision
from clairgen.embedded.server import EmbeddedServers
from clairgen.errors import ConfigError
from clairgen.inference.concurrency import Width
from clairgen.inference.endpoint import Address, Endpoint
from clairgen.inference.pool import Pool, Surroundings
from clairgen.inference.rate_limit import Limits, Pace
from clairgen.inference.transport import HttpTransport, Timeouts, Transport

_GUESSED_ANSWER_TOKENS = 512
_EMBEDDED_CONCURRENCY = 16  # places of an engine on this machine, where the configuration names no number


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the endpoints take from outside: tests give their own clock, sleep, randomness and transport."""

    transport: Callable[[], Transport] = HttpTransport
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def check_keys(roles: Mapping[str, Role], environment: Mapping[str, str]) -> None:
    """Raise ConfigError for a role whose API key is not in the environment, before anything is asked."""
    for name, role in roles.items():
        _key(name, role, environment)


def with_revisions(roles: Mapping[str, Role]) -> dict[str, Role]:
    """Roles with the revision filled in that embedded weights have by themselves: their file's hash.

    Raises ConfigError for a model file that is absent or broken, and for a role over different files.
    """
    return {name: _with_revision(name, role) for name, role in roles.items()}


async def open_pools(
    roles: Mapping[str, Role],
    transport: Transport,
    servers: EmbeddedServers,
    runtime: Runtime,
    stop: asyncio.Event,
    tell: Callable[[str], None] = lambda _sentence: None,
) -> dict[str, Pool]:
    """A pool for every role. Embedded engines are started in `servers`, with a slot for every ask that may be in flight.

    Once `stop` is set, whoever waits in a pool gets a DrainedError; what is in flight goes on. `tell` is given sentences
    for the user.
    """
    around = Surroundings(runtime.clock, runtime.sleep, runtime.random, stop, tell)
    slots: Counter[object] = Counter()
    for role in roles.values():
        for address in filter(is_embedded, role.endpoints):
            slots[embedded_address(address).path] += role.concurrency or _EMBEDDED_CONCURRENCY
    paces: dict[tuple[str, str | None, str], Pace] = {}
    pools = {}
    for name, role in roles.items():
        endpoints = []
        for address, weight in zip(role.endpoints, role.weights or repeat(None), strict=False):
            url = address
            if is_embedded(address):
                embedded = embedded_address(address)
                url = await servers.url_for(embedded, slots[embedded.path])
            timeouts = Timeouts(
                role.connect_seconds, role.first_byte_seconds or role.timeout_seconds, role.timeout_seconds
            )
            here = Address(address, url, _key(name, role, runtime.environment), timeouts, weight)
            # The provider counts by account and model, whichever roles of ours ask.
            shared = (url, role.api_key_env, role.model)
            limits = Limits(role.requests_per_minute, role.tokens_per_minute)
            pace = paces.setdefault(shared, Pace(limits, runtime.clock, role.burst))
            endpoints.append(_endpoint(role, here, transport, runtime, pace))
        guess = min(role.max_tokens or _GUESSED_ANSWER_TOKENS, _GUESSED_ANSWER_TOKENS)
        pools[name] = Pool(name, endpoints, around, answer_tokens=guess, patience_seconds=role.patience_seconds)
    return pools


def _endpoint(role: Role, address: Address, transport: Transport, runtime: Runtime, pace: Pace) -> Endpoint:
    fixed = role.concurrency or (_EMBEDDED_CONCURRENCY if is_embedded(address.name) else None)
    return Endpoint(
        address,
        width=Width(fixed, runtime.clock),
        transport=transport,
        pace=pace,
        clock=runtime.clock,
        wall_clock=runtime.wall_clock,
    )


def _key(name: str, role: Role, environment: Mapping[str, str]) -> str | None:
    if role.api_key_env is None:
        return None
    key = environment.get(role.api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {role.api_key_env}, which models.{name}.api_key_env names, is not set; "
            "export it with the API key"
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the API key in {role.api_key_env} holds characters that no key has; export it again")
    return key


def _with_revision(name: str, role: Role) -> Role:
    embedded = [embedded_address(address).path for address in role.endpoints if is_embedded(address)]
    if not embedded or role.revision is not None:
        return role
    revisions = {weights_revision(path) for path in embedded}
    if len(revisions) > 1 or len(embedded) < len(role.endpoints):
        raise ConfigError(f"the endpoints of models.{name} serve different weights; name one model, or give a revision")
    return role.model_copy(update={"revision": revisions.pop()})
