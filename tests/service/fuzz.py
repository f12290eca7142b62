"""schemathesis over the OpenAPI document of a service with runs: no server error, no hang, answers as they are described.

Run it with `make fuzz-service`, which has schemathesis in an environment of its own; further arguments go to `st run`.
Jobs are taken and none is begun with, so that what is there stays as it is.
"""

import asyncio
import contextlib
import datetime
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from clairgen.service.app import service
from clairgen.service.coordinator.saved_groups import Coordinator
from clairgen.service.held_connections import TimedConnection
from clairgen.service.jobs import Jobs
from clairgen.service.request_checks import allowed_hosts
from clairgen.service.request_rates import Limits
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import read_tokens
from clairgen.store.group_records import GroupRecords
from tests.service.served import RUN, ids, job_when, made, policy_for, queue_of, rows, served_with_jobs

OPTIONS = ("--checks", "all", "--max-response-time", "10", "--request-timeout", "30", "--continue-on-failure")
# OpenAPI cannot say which parameters are given together, nor which recipes a run has.
# Of several routes at one path, Starlette names the methods of one.
EXCLUDED = "positive_data_acceptance,allow_header_conformance"
# Where names are given, what was just made is not what is asked for next.
EXCLUDED_OF_KNOWN = f"{EXCLUDED},ensure_resource_availability"


# A text that is too long for its field may be too long for any request.
CHECKS = """[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "422", "425", "429"]
"""
Parameters = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the service has: the id of a pair with a vote and an edit, and that of a job that is done."""

    pair: str
    job: int

    def config(self) -> str:
        """The configuration of schemathesis that names it, except to what would delete it."""
        everywhere: Parameters = {"path.run": "first", "path.pair": self.pair, "path.queue": "queue", "path.group": "g"}
        of_job: Parameters = {"path.job": self.job}
        at: dict[str, Parameters] = {
            "GET /api/compare": {"query.left": "first:imported", "query.right": "<b>second:imported"},
            **dict.fromkeys(("GET /api/jobs/{job}", "GET /api/jobs/{job}/output", "GET /api/jobs/{job}/files"), of_job),
            **dict.fromkeys(("GET /api/jobs/{job}/archive", "POST /api/jobs/{job}/cancel"), of_job),
            "POST /api/jobs/{job}/resume": of_job,
            "DELETE /api/jobs/{job}": {"path.job": 10**6},
            "GET /api/jobs/{job}/files/{name}": {**of_job, "path.name": "report.html"},
            "PUT /api/uploads/{name}": {"path.name": "other.jsonl"},
            "DELETE /api/uploads/{name}": {"path.name": "other.jsonl"},
            "POST /api/coordinator/groups/{group}/forget": {"path.group": "other"},
        }
        tables = [CHECKS, f"[parameters]\n{_lines(everywhere)}"]
        tables += [
            f'[[operations]]\ninclude-name = "{name}"\n[operations.parameters]\n{_lines(given)}'
            for name, given in at.items()
        ]
        return "\n".join(tables)


async def stored(root: Path) -> Stored:
    """Fill a root: two runs, the first one with a vote, a queue and an edit, a file that was uploaded, and a job that is done."""
    for name in ("first", "<b>second"):
        await made(root, rows(12), name)
    with queue_of(root) as queue:
        queue.number_above(4000)  # not the first one that comes to mind, which is soon deleted
    async with served_with_jobs(root) as client:
        pair = (await ids(client))[1]
        whole = (await client.get(f"/api/runs/first/pairs/{pair}")).json()
        for path, body in (
            (f"pairs/{pair}/votes", {"vote": "keep", "voter": "ada", "note": "<b>"}),
            (f"pairs/{pair}/revisions", {"text": "Another answer.", "version": whole["version"], "editor": "ada"}),
            ("queues", {"name": "queue", "overlap": 2}),
        ):
            (await client.post(f"/api/runs/first/{path}", json=body)).raise_for_status()
        (await client.put("/api/uploads/one.jsonl", content=b"{}\n")).raise_for_status()
        job = (await client.post("/api/jobs", json={"verb": "report", "runs": ["first"]})).raise_for_status().json()
        await job_when(client, job["id"], "done")
        return Stored(pair, job["id"])


@contextlib.contextmanager
def serving(root: Path) -> Iterator[int]:
    """A service over `root` in a thread, without limits; gives its port."""
    tokens = read_tokens({"CLAIRGEN_TOKEN_RUN": RUN}, None, lambda: datetime.date(2026, 6, 1))
    limits = Limits(10**9, 10**9, 10**6, 10**6)
    with queue_of(root) as queue:
        jobs = Jobs(policy_for(root), queue, most_queued=10**6, keep=10**6)
        runs = RunsRoot(root)
        coordinator = Coordinator(lambda: GroupRecords(runs.own_database))
        hosts = allowed_hosts("127.0.0.1", [])
        app = service(runs, tokens, hosts, limits=limits, jobs=jobs, coordinator=coordinator)
        config = uvicorn.Config(
            app, port=0, http=TimedConnection, lifespan="off", log_level="warning", access_log=False
        )
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
    """Run the command `st` with options over a service: with the names of what is there, and then with all names made up."""
    with tempfile.TemporaryDirectory(prefix="clairgen-fuzz-") as folder:
        root, known, unknown = Path(folder) / "runs", Path(folder) / "known.toml", Path(folder) / "unknown.toml"
        known.write_text(asyncio.run(stored(root)).config(), encoding="utf-8")
        unknown.write_text(CHECKS, encoding="utf-8")
        with serving(root) as port:
            address = f"http://127.0.0.1:{port}/openapi.json"
            given = ["run", address, "--header", f"Authorization: Bearer {RUN}", *OPTIONS, *options]
            calls = (
                [command, "--config-file", str(file), *given, "--exclude-checks", excluded]
                for file, excluded in ((known, EXCLUDED_OF_KNOWN), (unknown, EXCLUDED))
            )
            return max(subprocess.run(call, check=False, cwd=folder).returncode for call in calls)


def _lines(parameters: Parameters) -> str:
    return "".join(f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in parameters.items())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
