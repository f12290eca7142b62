"""From a configuration's roles to their accounts at providers: one connection for each key, one limit for each model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clairgen.config.endpoint_checks import FILE_SCHEME
from clairgen.config.evaluated import load_evaluate_config
from clairgen.config.file import load_config
from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.inference.batch_service import BatchService
from clairgen.inference.endpoint import EndpointAddress
from clairgen.inference.factory import endpoint_address
from clairgen.inference.file_batches import FileBatches
from clairgen.inference.openai_batches import OpenAIBatches
from clairgen.inference.pool import Pool
from clairgen.inference.redaction import Redaction
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.batch_lane.provider_account import EnqueuedTokens, ProviderAccount
from clairgen.pipeline.progress import Progress
from clairgen.store import BatchRecord, RunDirectory, Store
from clairgen.wording import counted

_ANTHROPIC = "api.anthropic.com"
_LONGEST_CALL_SECONDS = 60.0  # of a call about a batch, other than its files


@dataclass(frozen=True, slots=True)
class BatchRole:
    """A role that batches are made for, or that open ones belong to: its account, and which keys must not be kept."""

    name: str
    role: Role
    account: ProviderAccount
    redaction: Redaction
    pool: Pool | None = None

    @property
    def collects(self) -> bool:
        """Whether its requests go into batches now."""
        return self.role.delivery != "direct"


def batch_roles(
    roles: Mapping[str, Role],
    pools: Mapping[str, Pool],
    records: Sequence[BatchRecord],
    directory: RunDirectory,
    store: Store,
    runtime: Runtime,
    progress: Progress,
) -> dict[str, BatchRole]:
    """Each role that makes batches, or has one of the open `records`, with its account.

    ConfigError for an open batch at an endpoint that its role does not name: without its key it cannot be collected.
    """
    wanted = roles_with_batches(roles, records, directory)
    services, enqueued = dict[object, BatchService](), dict[object, EnqueuedTokens]()
    found = {}
    for name, role in wanted.items():
        address = endpoint_address(name, role, role.endpoints[0], role.endpoints[0], runtime.environment)
        login = (address.url, role.api_key_env, tuple(role.header_variables()))
        if login not in services:
            services[login] = _service(role, address, directory, runtime)
        account = ProviderAccount(
            name,
            services[login],
            role.batches,
            role.patience_seconds,
            store,
            directory.batches,
            runtime.clock,
            runtime.wall_clock,
            runtime.sleep,
            progress,
            enqueued.setdefault((*login, role.model), EnqueuedTokens(role.batches.enqueued_tokens)),
        )
        redaction = Redaction.of([address.key, *address.secrets])
        found[name] = BatchRole(name, role, account, redaction, pools.get(name))
    return found


def roles_with_batches(
    roles: Mapping[str, Role], records: Sequence[BatchRecord], directory: RunDirectory
) -> dict[str, Role]:
    """Each role that makes batches, or has one of the open `records`. ConfigError for one at an endpoint that no role names."""
    wanted = {name: role for name, role in roles.items() if role.delivery != "direct"}
    for record in records:
        wanted.setdefault(record.role, _role_of(record, roles, directory))
        if record.endpoint not in wanted[record.role].endpoints:
            raise _no_endpoint(record, directory)
    return wanted


def is_batch_of(roles: Mapping[str, Role], record: BatchRecord) -> bool:
    """Whether a batch is one of these roles', at an endpoint that its role names."""
    return record.role in roles and record.endpoint in roles[record.role].endpoints


async def close_services(roles: Mapping[str, BatchRole]) -> None:
    """Close the connections of these roles' accounts, which several of them may share."""
    for service in {id(one.account.service): one.account.service for one in roles.values()}.values():
        await service.close()


def models_in(config: Path) -> Mapping[str, Role]:
    """The models that a configuration names, be it of a run or of an evaluation. Raises ConfigError."""
    try:
        return load_config(config).models
    except ConfigError:  # of an evaluation, which has other roles and no tasks
        return load_evaluate_config(config).models


def _service(role: Role, address: EndpointAddress, directory: RunDirectory, runtime: Runtime) -> BatchService:
    """The service at a role's endpoint: files in a folder, Anthropic's, or OpenAI's and those that imitate it."""
    if address.url.startswith(FILE_SCHEME):
        return FileBatches(Path(address.url.removeprefix(FILE_SCHEME)))
    short, long = min(role.timeout_seconds, _LONGEST_CALL_SECONDS), role.timeout_seconds
    host = urlsplit(address.url).hostname
    api = role.batches.api or ("anthropic" if host == _ANTHROPIC else "openai")
    if api == "anthropic":
        from clairgen.inference.anthropic_batches import AnthropicBatches  # which brings an HTTP client along

        return AnthropicBatches(
            address, directory.batches, timeout_seconds=short, file_seconds=long, wall_clock=runtime.wall_clock
        )
    return OpenAIBatches(address, timeout_seconds=short, file_seconds=long, wall_clock=runtime.wall_clock)


def _role_of(record: BatchRecord, roles: Mapping[str, Role], directory: RunDirectory) -> Role:
    """A role with the key for an open batch, which makes no further ones. Raises ConfigError."""
    candidates = [roles[record.role], *roles.values()] if record.role in roles else list(roles.values())
    for role in candidates:
        if record.endpoint in role.endpoints:
            return role.model_copy(update={"delivery": "direct", "endpoints": [record.endpoint]})
    raise _no_endpoint(record, directory)


def _no_endpoint(record: BatchRecord, directory: RunDirectory) -> ConfigError:
    return ConfigError(
        f"a batch of {counted(record.requests, 'request')} of {record.role!r} is open at {record.endpoint}, which this "
        "configuration does not name for it; keep that endpoint until the batch is collected, or cancel it with: "
        f"clairgen batches {directory.path} --cancel (of an evaluation or of advise with --config FILE, which names it)"
    )
