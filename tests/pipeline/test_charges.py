import asyncio
from pathlib import Path

import pytest

from clairgen.config.models import Price, Role
from clairgen.errors import RequestError, RequestFailedError, RetryableError
from clairgen.pipeline.budget import Budget, PricedMeter, meters
from clairgen.pipeline.progress import Progress
from clairgen.records import Usage
from clairgen.store import RunDirectory, writing

ROLE = Role(model="m", endpoints=["http://gpu1/v1"], max_tokens=100, price_per_million=Price(input=1, output=2))
MOST = (len(b"body") + 1024) * 10**6 + 100 * 2 * 10**6


async def spent_by(folder: Path, ended_by: Usage | RequestError | None) -> tuple[int, int]:
    """What a try that ends so leaves in the ledger: settled, and unsettled."""
    run = RunDirectory(folder)
    run.create()
    async with writing(run) as store:
        async with Budget(store.spending, await store.spending.total(), 1.0, Progress(), asyncio.Event()) as ledger:
            meter = meters("reviser", ROLE, ledger)()
            await meter.begins(b"body")
            if isinstance(ended_by, Usage):
                meter.answered(ended_by)
            elif ended_by is not None:
                meter.failed(ended_by)
            meter.ends()
        spent = await store.spending.total()
    return spent.settled, spent.unsettled


def with_usage(error: RequestError) -> RequestError:
    error.used = (30, 1)
    return error


@pytest.mark.parametrize(
    ("ended_by", "settled", "unsettled"),
    [
        (Usage(30, 10), 50 * 10**6, 0),
        (Usage(30, None), 0, MOST),
        (Usage(), 0, MOST),
        (None, 0, MOST),
        (RetryableError("unreachable", "nothing was sent"), 0, 0),
        (RetryableError("rate-limited", "no", status=429), 0, 0),
        (RequestFailedError("bad-request", "no", status=400), 0, 0),
        (RequestFailedError("http-401", "no", status=401), 0, 0),
        (RetryableError("timed-out", "silence", billed=True), 0, MOST),
        (RetryableError("torn-connection", "half", billed=True), 0, MOST),
        (RetryableError("server-error", "HTTP 500", status=500), 0, MOST),
        (RetryableError("server-error", "HTTP 503", status=503), 0, MOST),
        (RetryableError("server-error", "HTTP 408", status=408), 0, MOST),
        (RetryableError("not-json", "HTML", status=200, billed=True), 0, MOST),
        (with_usage(RetryableError("empty-answer", "", status=200, billed=True)), 32 * 10**6, 0),
        (with_usage(RequestFailedError("content-filter", "", status=200, billed=True)), 32 * 10**6, 0),
    ],
)
async def test_a_try_costs_what_is_known_of_it_and_else_its_most(
    ended_by: Usage | RequestError | None, settled: int, unsettled: int, tmp_path: Path
) -> None:
    assert await spent_by(tmp_path, ended_by) == (settled, unsettled)


def test_what_costs_nothing_is_not_metered() -> None:
    free = ROLE.model_copy(update={"price_per_million": Price(input=0, output=0)})
    unknown = ROLE.model_copy(update={"price_per_million": None})
    for role in (free, unknown):
        assert not isinstance(meters("reviser", role, None)(), PricedMeter)
