"""A coordinator in this process that members reach by HTTP without a socket, which can be cut off and started again."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from clairgen.coordination.coordinator_client import CoordinatorAddress
from clairgen.errors import RetryableError
from clairgen.inference.runtime import Runtime, open_transport
from clairgen.inference.transport import Response, Timeouts, Transport
from clairgen.service.app import service
from clairgen.service.coordinator.saved_groups import Coordinator
from clairgen.service.request_checks import allowed_hosts
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import Tokens, read_tokens
from clairgen.store.group_records import GroupRecords
from tests.clocks import FakeClock
from tests.service.served import ADDRESS, TODAY

AT = CoordinatorAddress(ADDRESS)


class Coordinated:
    """The service, to be used as a context manager."""

    def __init__(self, root: Path, clock: Callable[[], float] | None = None, tokens: Tokens | None = None) -> None:
        self.root = RunsRoot(root)
        root.mkdir(exist_ok=True)
        self.root.make_own_folder()
        self.asked: list[str] = []
        self._clock = clock
        self._tokens = tokens or read_tokens({}, None, lambda: TODAY)

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.coordinator.close()

    async def restart(self) -> None:
        """Begin again with what is on disk."""
        await self.coordinator.close()
        self._start()

    def _start(self) -> None:
        self.coordinator = Coordinator(lambda: GroupRecords(self.root.own_database), self._clock or time.monotonic)
        app = service(self.root, self._tokens, allowed_hosts("127.0.0.1", []), coordinator=self.coordinator)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS)

    def runtime(self, clock: FakeClock | None = None, is_cut_off: Callable[[], bool] = lambda: False) -> Runtime:
        """The surroundings of a member, which finds no service while it `is_cut_off`."""
        if clock is not None:
            return Runtime(
                transport=lambda note: _To(self, open_transport(note), is_cut_off),
                clock=clock,
                lease_clock=clock,
                sleep=clock.sleep,
            )
        return Runtime(
            transport=lambda note: _To(self, open_transport(note), is_cut_off),
            sleep=lambda seconds: asyncio.sleep(seconds / 10),
        )

    async def overview(self, group: int = 0) -> dict[str, Any]:
        """What the API says of a group."""
        found: dict[str, Any] = (await self.http.get("/api/coordinator")).json()[group]
        return found


class _To:
    """A transport that leads to the coordinator, or to the network."""

    def __init__(self, service: Coordinated, network: Transport, is_cut_off: Callable[[], bool]) -> None:
        self._is_cut_off = is_cut_off
        self._service = service
        self._network = network

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        if not url.startswith(ADDRESS):
            return await self._network.post(url, headers, body, timeouts)
        if self._is_cut_off():
            raise RetryableError("unreachable", "no connection")
        self._service.asked.append(url.rpartition("/")[2])
        found = await self._service.http.post(url, headers=dict(headers), content=body)
        return Response(found.status_code, {}, found.content)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        return await self._network.get(url, headers, timeouts)

    async def close(self) -> None:
        await self._network.close()
