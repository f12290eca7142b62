"""A coordinator that one command starts for its own shards, and that ends with it; what it keeps is there for the next one.

It is in the process of the command, since Ray ends the shards with that: it needs nobody to watch it, and never outlives them.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from clairgen.coordination.coordinator_client import CoordinatorAddress
from clairgen.copies.storage import open_storage
from clairgen.errors import ConfigError
from clairgen.service.allowed_endpoints import bracketed
from clairgen.service.app import service, today
from clairgen.service.coordinator.copied_groups import CopiedGroups
from clairgen.service.coordinator.saved_groups import Coordinator, Records
from clairgen.service.http_server import serve_http
from clairgen.service.request_checks import allowed_hosts
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import MEMBER_VARIABLE, read_tokens
from clairgen.store.group_records import GroupRecords, GroupRow

_GROUP: Final = "run"
_TOKEN_BYTES: Final = 32


@asynccontextmanager
async def run_coordinator(
    host: str, root: RunsRoot, run: str, copies: str | None, environment: Mapping[str, str], *, no_budget: bool
) -> AsyncIterator[CoordinatorAddress]:
    """The address of a coordinator at an IP address of this machine, with a token that nobody else knows.

    What it keeps is in `copies`, or in the database of `root` without them. With `no_budget` a budget of earlier commands no
    longer holds.
    """

    def opened() -> Records:
        records = _records(root, run, copies)
        if no_budget:
            records.save([replace(row, budget=None) for row in records.rows(GroupRow)])
        return records

    token, stop = secrets.token_hex(_TOKEN_BYTES), asyncio.Event()
    tokens = read_tokens({**environment, MEMBER_VARIABLE: token}, None, today)
    with _listening(host) as listener:
        coordinator = Coordinator(opened, has_new_token=True)
        await coordinator.overview()  # what cannot be read ends the command before a shard starts
        app = service(root, tokens, allowed_hosts(host, []), stop, coordinator=coordinator)
        serving = asyncio.create_task(serve_http(app, listener, stop), name="coordinator")
        try:
            yield CoordinatorAddress(f"http://{bracketed(host)}:{listener.getsockname()[1]}", token, _GROUP)
        finally:
            stop.set()
            await serving
            await coordinator.close()


def _records(root: RunsRoot, run: str, copies: str | None) -> Records:
    if copies is not None:
        return CopiedGroups(open_storage(copies), run)
    root.make_own_folder()
    return GroupRecords(root.own_database)


def _listening(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, 0), family=family)
    except OSError as error:
        raise ConfigError(
            f"no coordinator of the shards can listen at {host}: {error.strerror}; give --coordinator URL or --no-coordinator"
        ) from error
