"""A service over runs made small, called in this process."""

import datetime
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from clairgen.pipeline.import_pairs import import_pairs
from clairgen.service.app import service
from clairgen.service.request_checks import allowed_hosts
from clairgen.service.request_rates import Limits
from clairgen.service.runs_root import RunsRoot
from clairgen.service.tokens import Tokens, read_tokens

ADDRESS = "http://127.0.0.1:8321"
TODAY = datetime.date(2026, 6, 1)
READ, REVIEW, RUN, ADAS, OLD = (f"{name}{'0' * 40}" for name in ("read", "review", "run", "ada", "old"))


def rows(count: int) -> list[dict[str, Any]]:
    """Rows of pairs; every third has equal answers, every second is from source b."""
    return [
        {
            "prompt": f"Question number {n}",
            "chosen": f"Answer {n}, in full.",
            "rejected": f"Answer {n}, in full." if n % 3 == 0 else f"No {n}",
            "source": "ab"[n % 2],
        }
        for n in range(count)
    ]


async def made(root: Path, content: Iterable[Mapping[str, Any]], name: str = "first") -> Path:
    """A run with imported pairs."""
    path = root.parent / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in content), encoding="utf-8")
    await import_pairs(str(path), root / name)
    return root / name


def tokens_of(folder: Path) -> Tokens:
    """Tokens of every kind: READ, REVIEW and RUN of the environment, ADAS with a name, OLD that has expired."""
    digests = {one: hashlib.sha256(one.encode()).hexdigest() for one in (ADAS, OLD)}
    file = folder / "tokens.yaml"
    file.write_text(
        f"tokens:\n  - {{name: ada, scope: review, sha256: {digests[ADAS]}, expires: {TODAY}}}\n"
        f"  - {{name: ben, scope: review, sha256: {digests[OLD]}, expires: {TODAY - datetime.timedelta(1)}}}\n"
    )
    environment = {"CLAIRGEN_TOKEN_READ": READ, "CLAIRGEN_TOKEN_REVIEW": REVIEW, "CLAIRGEN_TOKEN_RUN": RUN}
    return read_tokens(environment, file, lambda: TODAY)


@asynccontextmanager
async def served(
    root: Path, tokens: Tokens | None = None, limits: Limits | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service over `root`."""
    known = tokens or read_tokens({}, None, lambda: TODAY)
    hosts = allowed_hosts("127.0.0.1", ["Pairs.Example"])
    transport = httpx.ASGITransport(service(RunsRoot(root), known, hosts, limits=limits))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        yield client


async def ids(client: httpx.AsyncClient, run: str = "first", **query: str) -> list[str]:
    """The ids of a run's first page of pairs."""
    answer = await client.get(f"/api/runs/{run}/pairs", params=query)
    assert answer.status_code == 200, answer.text
    return [pair["id"] for pair in answer.json()["pairs"]]


async def ballot(client: httpx.AsyncClient, address: str, vote: str, voter: str, note: str = "") -> dict[str, str]:
    """The fields of the form on a pair's page, filled in."""
    page = (await client.get(address)).text
    [version] = re.findall(r'name="version" value="(\w+)"', page)
    return {"version": version, "vote": vote, "voter": voter, "note": note}
