"""schemathesis over the OpenAPI document of a service with runs: no server error, no hang, answers as they are described.

Run it with `make fuzz-service`, which has schemathesis in an environment of its own; further arguments go to `st run`.
"""

import asyncio
import contextlib
import datetime
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from clairgen.api import make_queue
from clairgen.service.app import service
from clairgen.service.held_connections import TimedConnection
from clairgen.service.request_checks import allowed_hosts
from clairgen.service.request_rates import Limits
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import read_tokens
from tests.service.served import RUN, ids, made, rows, served

OPTIONS = (
    *("--checks", "all", "--max-response-time", "10", "--request-timeout", "30", "--continue-on-failure"),
    # OpenAPI cannot say which parameters are given together, nor which recipes a run has.
    # Of several routes at one path, Starlette names the methods of one.
    *("--exclude-checks", "positive_data_acceptance,allow_header_conformance"),
)


@contextlib.contextmanager
def serving(root: Path) -> Iterator[int]:
    """A service over `root` in a thread, without limits; gives its port."""
    tokens = read_tokens({"CLAIRGEN_TOKEN_RUN": RUN}, None, lambda: datetime.date(2026, 6, 1))
    limits = Limits(10**9, 10**9, 10**6, 10**6)
    app = service(RunsRoot(root), tokens, allowed_hosts("127.0.0.1", []), limits=limits)
    config = uvicorn.Config(app, port=0, http=TimedConnection, lifespan="off", log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.05)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def main(command: str, *options: str) -> int:
    """Run the command `st` with options over a service: with all names made up, and then with those of what is there."""
    with tempfile.TemporaryDirectory(prefix="clairgen-fuzz-") as folder:
        root = Path(folder) / "runs"
        for name in ("first", "<b>second"):
            asyncio.run(made(root, rows(12), name))
        known = Path(folder) / "known.toml"
        asyncio.run(make_queue(root / "first", "queue"))
        names = {"run": "first", "pair": asyncio.run(_a_pair(root)), "queue": "queue"}
        known.write_text("[parameters]\n" + "".join(f'"path.{name}" = "{value}"\n' for name, value in names.items()))
        with serving(root) as port:
            address = f"http://127.0.0.1:{port}/openapi.json"
            given = ["run", address, "--header", f"Authorization: Bearer {RUN}", *OPTIONS, *options]
            calls = ([command, *given], [command, "--config-file", str(known), *given])
            return max(subprocess.run(call, check=False, cwd=folder).returncode for call in calls)


async def _a_pair(root: Path) -> str:
    async with served(root) as client:
        return (await ids(client))[1]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
