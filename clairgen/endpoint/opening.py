"""From a configuration's roles to pools of endpoints: keys from the environment, embedded servers started."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from clairgen.config import Role
from clairgen.embedded.address import embedded_address, is_embedded
from clairgen.embedded.launch import EmbeddedServers
from clairgen.embedded.weights import weights_revision
from clairgen.endpoint.client import Endpoint
from clairgen.endpoint.pace import Pace
from clairgen.endpoint.pool import Pool
from clairgen.endpoint.transport import HttpTransport, Transport
from clairgen.errors import ConfigError, DrainedError

_GUESSED_ANSWER_TOKENS = 512


@dataclass(frozen=True, slots=True)
class World:
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
    roles: Mapping[str, Role], transport: Transport, servers: EmbeddedServers, world: World, stop: asyncio.Event
) -> dict[str, Pool]:
    """A pool for every role. Embedded engines are started in `servers`, with a slot for every ask that may be in flight.

    Once `stop` is set, whoever waits in a pool gets a DrainedError; what is in flight goes on.
    """
    world = replace(world, sleep=_stoppable(world.sleep, stop))
    slots: Counter[object] = Counter()
    for role in roles.values():
        for address in filter(is_embedded, role.endpoints):
            slots[embedded_address(address).path] += role.concurrency
    paces: dict[tuple[str, str | None, str], Pace] = {}
    pools = {}
    for name, role in roles.items():
        endpoints = []
        for address in role.endpoints:
            url = address
            if is_embedded(address):
                embedded = embedded_address(address)
                url = await servers.url_for(embedded, slots[embedded.path])
            # The provider counts by account and model, whichever roles of ours ask.
            shared = (url, role.api_key_env, role.model)
            pace = paces.setdefault(
                shared, Pace(role.requests_per_minute, role.tokens_per_minute, world.clock, world.sleep)
            )
            endpoints.append(_endpoint(name, role, address, url, transport, world, pace))
        pools[name] = _pool(name, role, endpoints, world, stop)
    return pools


def _pool(name: str, role: Role, endpoints: list[Endpoint], world: World, stop: asyncio.Event) -> Pool:
    return Pool(
        name,
        endpoints,
        answer_tokens=min(role.max_tokens or _GUESSED_ANSWER_TOKENS, _GUESSED_ANSWER_TOKENS),
        clock=world.clock,
        sleep=world.sleep,
        random=world.random,
        stop=stop,
    )


def _stoppable(sleep: Callable[[float], Awaitable[None]], stop: asyncio.Event) -> Callable[[float], Awaitable[None]]:
    """`sleep`, ended by a DrainedError as soon as `stop` is set."""

    async def stoppable_sleep(seconds: float) -> None:
        async with asyncio.TaskGroup() as group:
            sleeping = group.create_task(_awaited(sleep(seconds)))
            stopping = group.create_task(stop.wait())
            await asyncio.wait((sleeping, stopping), return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            stopping.cancel()
        if stop.is_set():
            raise DrainedError

    return stoppable_sleep


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


def _endpoint(
    name: str, role: Role, address: str, url: str, transport: Transport, world: World, pace: Pace
) -> Endpoint:
    return Endpoint(
        address,
        url,
        _key(name, role, world.environment),
        concurrency=role.concurrency,
        timeout_seconds=role.timeout_seconds,
        transport=transport,
        pace=pace,
        clock=world.clock,
        wall_clock=world.wall_clock,
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
