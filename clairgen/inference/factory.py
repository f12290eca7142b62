"""From a configuration's roles to pools of endpoints: keys from the environment, embedded servers started, limits shared."""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

from clairgen.config.endpoint_checks import is_registered
from clairgen.config.role import Role
from clairgen.embedded.gguf import (
    CLASSIFIER,
    classifier_revision,
    embedded_address,
    is_embedded,
    is_on_this_machine,
    weights_revision,
)
from clairgen.embedded.server import EmbeddedServers
from clairgen.errors import ConfigError
from clairgen.inference.announced_limits import RateLimits
from clairgen.inference.concurrency import MAX_CONCURRENCY, ConcurrencyLimit
from clairgen.inference.endpoint import Endpoint, EndpointAddress
from clairgen.inference.endpoint_limits import EndpointLimits
from clairgen.inference.pool import ComingEndpoints, Pool
from clairgen.inference.rate_limit import RateLimiter
from clairgen.inference.registered import servers_of
from clairgen.inference.runtime import Runtime, connections_left
from clairgen.inference.shared_limits import ConfiguredLimits, LimitsInCommon, Member
from clairgen.inference.transport import Timeouts, Transport
from clairgen.wording import counted

_ASSUMED_ANSWER_TOKENS = 512
_FEW = 128  # requests in flight at an endpoint: fewer than many servers can work on
_EMBEDDED_CONCURRENCY = 16  # of an engine on this machine, where the configuration gives no number


def check_keys(roles: Mapping[str, Role], environment: Mapping[str, str]) -> None:
    """Raise ConfigError for a role with an API key that is not in the environment, before anything is sent."""
    for name, role in roles.items():
        _key(name, role, environment)
        _header_variables(name, role, environment)


def with_revisions(roles: Mapping[str, Role]) -> dict[str, Role]:
    """Roles with the revision filled in that embedded weights have without configuration: the hash of their file.

    Raises ConfigError for a model file that is missing or broken, and for a role over different files.
    """
    return {name: _with_revision(name, role) for name, role in roles.items()}


async def open_pools(
    roles: Mapping[str, Role],
    transport: Transport,
    servers: EmbeddedServers,
    runtime: Runtime,
    stop: asyncio.Event,
    note: Callable[[str], None] = lambda _sentence: None,
) -> dict[str, Pool]:
    """A pool for every role. Embedded engines are started in `servers`, with a slot for every request that may be in flight.

    Once `stop` is set, what waits in a pool gets a DrainedError; what is in flight goes on. `note` is given sentences for the
    user.
    """
    slots: Counter[object] = Counter()
    for role in roles.values():
        for address in filter(is_embedded, role.endpoints):
            slots[embedded_address(address).path] += role.concurrency or _EMBEDDED_CONCURRENCY
    most = _most_at_each(roles, note)
    addresses: dict[str, list[EndpointAddress]] = {}
    for name, role in roles.items():
        addresses[name] = []
        for address, weight in zip(role.endpoints, role.weights or repeat(None), strict=False):
            if is_registered(address):
                continue
            url = address
            if is_embedded(address):
                embedded = embedded_address(address)
                url = await servers.url_for(embedded, slots[embedded.path])
            addresses[name].append(endpoint_address(name, role, address, url, runtime.environment, weight))
    members = _joined(roles, addresses, runtime.shared_limits, most, note) if runtime.shared_limits is not None else {}
    limiters: dict[Hashable, RateLimiter] = {}
    pools = {}
    for name, role in roles.items():
        endpoints = [
            _endpoint(role, address, transport, runtime, members.get(_counted_as(role, address.url)) or limiters, most)
            for address in addresses[name]
        ]
        longest = role.longest_answer
        tokens = _ASSUMED_ANSWER_TOKENS if longest is None else min(longest, _ASSUMED_ANSWER_TOKENS)
        sources = servers_of(name, role, runtime.registered_servers, runtime.clock)
        pools[name] = Pool(
            name,
            endpoints,
            runtime,
            stop,
            note,
            answer_tokens=tokens,
            patience_seconds=role.patience_seconds,
            coming=ComingEndpoints(
                [partial(source, role.model) for source in sources],
                partial(_registered, name, role, transport, runtime, most, note),
            )
            if sources
            else None,
        )
    return pools


def _registered(
    name: str, role: Role, transport: Transport, runtime: Runtime, most: int, note: Callable[[str], None], url: str
) -> Endpoint:
    """The endpoint of a server that registered."""
    address = endpoint_address(name, role, url, url, runtime.environment)
    configured = [_configured_limits(role, address.name, most)]
    shared = runtime.shared_limits
    limits: Member | dict[Hashable, RateLimiter] = (
        {} if shared is None else shared.join(_counted_as(role, address.url), url, configured, note)
    )
    return _endpoint(role, address, transport, runtime, limits, most)


def endpoint_address(
    name: str, role: Role, address: str, url: str, environment: Mapping[str, str], weight: float | None = None
) -> EndpointAddress:
    """Where a role's endpoint is, with its key. ConfigError for a key that is not in the environment."""
    variables = _header_variables(name, role, environment)
    return EndpointAddress(
        address,
        url,
        _key(name, role, environment),
        Timeouts(role.connect_seconds, role.first_byte_seconds or role.timeout_seconds, role.timeout_seconds),
        weight,
        role.headers_with(variables),
        tuple(variables.values()),
        role.stream_ends_with_done,
        role.api,
        role.service_tier == "flex",
    )


@dataclass(frozen=True, slots=True)
class CountedAs:
    """What a provider counts by, whichever of our roles and sessions send: address, account and model."""

    url: str
    api_key_env: str | None
    header_variables: tuple[str, ...]
    model: str

    def __str__(self) -> str:
        return ", ".join([f"{self.model} at {self.url}", *filter(None, [self.api_key_env, *self.header_variables])])


def configured_limits(roles: Mapping[str, Role]) -> dict[CountedAs, ConfiguredLimits]:
    """What a configuration says of its endpoints, over all of its roles; those that clairgen serves itself are left out."""
    found: dict[CountedAs, list[ConfiguredLimits]] = {}
    for role in roles.values():
        for url in role.endpoints:
            if url.startswith(("http://", "https://")):
                limits = _configured_limits(role, url, role.concurrency or MAX_CONCURRENCY)
                found.setdefault(_counted_as(role, url), []).append(limits)
    return {key: ConfiguredLimits.of_all(limits) for key, limits in found.items()}


def _counted_as(role: Role, url: str) -> CountedAs:
    return CountedAs(url, role.api_key_env, tuple(role.header_variables()), role.model)


def _joined(
    roles: Mapping[str, Role],
    addresses: Mapping[str, Sequence[EndpointAddress]],
    shared: LimitsInCommon,
    most: int,
    note: Callable[[str], None],
) -> dict[Hashable, Member]:
    """This session's membership in the shared limits of each of its endpoints."""
    found: dict[Hashable, tuple[str, list[ConfiguredLimits]]] = {}
    for name, role in roles.items():
        for address in addresses[name]:
            _, configured = found.setdefault(_counted_as(role, address.url), (address.name, []))
            configured.append(_configured_limits(role, address.name, most))
    return {key: shared.join(key, name, configured, note) for key, (name, configured) in found.items()}


def _configured_limits(role: Role, endpoint: str, most: int) -> ConfiguredLimits:
    rate = RateLimits(role.requests_per_minute, role.tokens_per_minute)
    return ConfiguredLimits(rate, role.burst, _configured(role, endpoint), most)


def _endpoint(
    role: Role,
    address: EndpointAddress,
    transport: Transport,
    runtime: Runtime,
    limits: Member | dict[Hashable, RateLimiter],
    most: int,
) -> Endpoint:
    """An endpoint with shared limits, or with slots of its own and the rate limiter of all roles of the session."""
    configured, clock = _configured_limits(role, address.name, most), runtime.clock
    if isinstance(limits, Member):
        return Endpoint(
            address,
            transport=transport,
            clock=clock,
            wall_clock=runtime.wall_clock,
            limits=limits.limits,
            share=limits.share,
            most=configured.concurrency,
            left=limits.leave,
        )
    limiter = limits.setdefault(_counted_as(role, address.url), RateLimiter(configured.rate, clock, role.burst))
    own = EndpointLimits(ConcurrencyLimit(configured.concurrency, clock, most), limiter)
    return Endpoint(address, transport=transport, clock=clock, wall_clock=runtime.wall_clock, limits=own)


def _configured(role: Role, endpoint: str) -> int | None:
    """The concurrency of an endpoint, None where it is found by measuring."""
    return role.concurrency or (_EMBEDDED_CONCURRENCY if is_on_this_machine(endpoint) else None)


def _most_at_each(roles: Mapping[str, Role], note: Callable[[str], None]) -> int:
    """The most requests in flight at an endpoint, so that all together find as many files as this process may open."""
    limits = [_configured(role, endpoint) for role in roles.values() for endpoint in role.endpoints]
    left = connections_left()
    if sum(limit or MAX_CONCURRENCY for limit in limits) <= left:
        return max(MAX_CONCURRENCY, max((limit or 0 for limit in limits), default=0))
    most = max(1, left // len(limits))
    if any(limit is not None and limit > most for limit in limits) or most < _FEW:
        note(
            f"this process may open only {counted(left, 'connection')}, so at most {counted(most, 'request')} may be in flight "
            "at each endpoint; "
            "raise the limit with: ulimit -n 65536"
        )
    return most


def _key(name: str, role: Role, environment: Mapping[str, str]) -> str | None:
    return None if role.api_key_env is None else _secret(role.api_key_env, f"models.{name}.api_key_env", environment)


def _header_variables(name: str, role: Role, environment: Mapping[str, str]) -> dict[str, str]:
    return {variable: _secret(variable, f"models.{name}.headers", environment) for variable in role.header_variables()}


def _secret(variable: str, named_by: str, environment: Mapping[str, str]) -> str:
    key = environment.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {variable}, which {named_by} names, is not set; export it with the API key"
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the API key in {variable} holds characters that no key has; export it again")
    return key


def _with_revision(name: str, role: Role) -> Role:
    folders = [Path(address.removeprefix(CLASSIFIER)) for address in role.endpoints if address.startswith(CLASSIFIER)]
    if len(folders) == 1 and folders[0].is_dir() and role.revision is None:
        return role.model_copy(update={"revision": classifier_revision(folders[0])})
    embedded = [embedded_address(address).path for address in role.endpoints if is_embedded(address)]
    if not embedded or role.revision is not None:
        return role
    revisions = {weights_revision(path) for path in embedded}
    if len(revisions) > 1 or len(embedded) < len(role.endpoints):
        raise ConfigError(f"the endpoints of models.{name} serve different weights; name one model, or give a revision")
    return role.model_copy(update={"revision": revisions.pop()})
