"""`clairgen serve`: runs in a browser, on this machine or, with tokens, for a team."""

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from clairgen.cli.signals import SECONDS_TO_DRAIN, run_drainable
from clairgen.errors import ConfigError
from clairgen.installed import require_serve_extra
from clairgen.reporting.sanitize import plain_line

_SECONDS_BEFORE_WARMING_UP: Final = 5.0
_WITHOUT_JOBS: Final = "Everybody on this machine can read and vote."
_FOR_EVERYBODY: Final = "Everybody on this machine can read, vote, and run jobs with the models that ship."


def serve_command(
    root: Annotated[Path, typer.Argument(help="The folder that your run directories are in.", show_default=False)],
    host: Annotated[
        str, typer.Option(help="The address to listen at; one that others can reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any free one.")] = 8321,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which browsers may reach it too, as a proxy's; may be repeated."),
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(help="A YAML file of tokens by their SHA-256, each with name, scope and last day.")
    ] = None,
    public_metrics: Annotated[
        bool, typer.Option("--public-metrics", help="Answer /metrics without a token, under whatever host name.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=0, max=64, help="Jobs that ask models and run at once; 0 to take no jobs at all.")
    ] = 4,
    processes: Annotated[
        int,
        typer.Option(min=1, max=64, help="Jobs that ask no model, such as an export or a training, and run at once."),
    ] = 1,
    max_queued: Annotated[int, typer.Option(min=1, max=100_000, help="Jobs that may wait; more are refused.")] = 100,
    keep_jobs: Annotated[
        int, typer.Option(min=0, max=10**6, help="Jobs that are over and stay in the list; results are never deleted.")
    ] = 1000,
    budget_usd: Annotated[
        float | None,
        typer.Option(help="Most that the runs of all jobs may cost together, over all their sessions, in dollars."),
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(
            min=0, max=86_400, help="After Ctrl-C or a cancel: how long requests in flight may take to finish."
        ),
    ] = SECONDS_TO_DRAIN,
    allow_env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An environment variable that submitted jobs may use; may be repeated."),
    ] = None,
    allow_endpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A base URL, or HOST:PORT, that they may send requests to; may be repeated."),
    ] = None,
    allow_hub: Annotated[
        bool, typer.Option("--allow-hub", help="They may load data sets and models from the Hugging Face hub.")
    ] = False,
    requests_per_minute: Annotated[
        int, typer.Option(min=1, max=10**6, help="What each token, or address without one, may ask.")
    ] = 1200,
    requests_at_once: Annotated[int, typer.Option(min=1, max=10**4, help="Of these, how many at the same time.")] = 48,
    streams: Annotated[int, typer.Option(min=1, max=10**4, help="Of these, how many streams of live events.")] = 12,
    wrong_tokens_per_minute: Annotated[
        int, typer.Option(min=1, max=10**6, help="Wrong tokens from one address before it has to wait.")
    ] = 20,
) -> None:
    """Serve the runs of a folder to browsers and over HTTP: reports, pairs one after another, votes, and jobs.

    Runs may go on meanwhile. On this machine alone no token is needed; the variables CLAIRGEN_TOKEN_READ,
    CLAIRGEN_TOKEN_REVIEW, CLAIRGEN_TOKEN_RUN and CLAIRGEN_TOKEN_MEMBER and --tokens give some. Ctrl-C lets running jobs finish
    what is in flight; started again, the service goes on with them.

    Example: clairgen serve runs
    """
    require_serve_extra()
    from clairgen.pipeline.budget_limit import NamedBudget
    from clairgen.service.allowed_endpoints import bracketed
    from clairgen.service.app import service, today
    from clairgen.service.coordinator.saved_groups import Coordinator
    from clairgen.service.http_server import SECONDS_TO_ANSWER, serve_http
    from clairgen.service.jobs import taken_jobs
    from clairgen.service.policy import policy_of
    from clairgen.service.request_checks import allowed_hosts
    from clairgen.service.request_rates import Limits
    from clairgen.service.runs_root import RunsRoot
    from clairgen.service.tokens import REVIEW_VARIABLE, RUN_VARIABLE, read_tokens
    from clairgen.service.worker_process import WorkerSettings
    from clairgen.store.group_records import GroupRecords

    runs = RunsRoot(root)
    runs.check()
    address = _address(host)
    known = read_tokens(os.environ, tokens, today)
    names = allow_host or []
    NamedBudget(budget_usd, False, None).check()
    policy = policy_of(runs, allow_env or (), allow_endpoint or (), hub=allow_hub)
    if not address.is_loopback:
        if not known.are_needed:
            variable = RUN_VARIABLE if policy.is_open else REVIEW_VARIABLE
            raise ConfigError(
                f"{host} can be reached by others, so the service needs a token there: set {variable} to that of "
                "openssl rand -hex 32, or name a file with --tokens"
            )
        if address.is_unspecified and not names:
            raise ConfigError(f"at {host} say by which names it is reached: --allow-host NAME")
    if policy.is_open and not known.let_somebody_run:
        raise ConfigError(
            "with --allow-env, --allow-endpoint or --allow-hub jobs can cost money and reach other machines, so the service "
            "needs a token for them, also on this machine: set CLAIRGEN_TOKEN_RUN to that of openssl rand -hex 32"
        )
    limits = Limits(requests_per_minute, wrong_tokens_per_minute, requests_at_once, streams)
    settings = WorkerSettings(
        str(root),
        jobs,
        processes,
        drain_seconds,
        budget_usd,
        tuple(allow_env or ()),
        tuple(allow_endpoint or ()),
        allow_hub,
    )
    with (
        _listening(address, port) as listener,
        taken_jobs(policy, settings, max_queued, keep_jobs, _warn) as (taken, worker),
    ):
        bound = listener.getsockname()[1]
        typer.echo(f"Runs of {plain_line(str(root))}: http://{bracketed(str(address))}:{bound}/")
        typer.echo("A token is needed." if known.are_needed else _FOR_EVERYBODY if jobs else _WITHOUT_JOBS)
        reached_by = allowed_hosts(str(address), names)

        async def serve(stop: asyncio.Event) -> None:
            coordinator = Coordinator(lambda: GroupRecords(runs.own_database)) if jobs else None
            app = service(
                runs,
                known,
                reached_by,
                stop,
                limits=limits,
                jobs=taken,
                coordinator=coordinator,
                has_public_metrics=public_metrics,
                is_working=lambda: worker is None or worker.is_running,
            )
            async with asyncio.TaskGroup() as group:
                if worker is not None:
                    group.create_task(worker.run(stop, drain_seconds), name="worker of jobs")
                warming_up = group.create_task(_warm_up())
                await serve_http(app, listener, stop)
                warming_up.cancel()
                stop.set()
            if coordinator is not None:
                await coordinator.close()

        run_drainable(serve, max(drain_seconds if jobs else 0, SECONDS_TO_ANSWER))


def _warn(sentence: str) -> None:
    typer.echo(f"Note: {plain_line(sentence)}", err=True)


async def _warm_up() -> None:
    """Load what the first report needs, once pages were served that need less."""
    from clairgen.service.runs import warm_up

    await asyncio.sleep(_SECONDS_BEFORE_WARMING_UP)
    await asyncio.to_thread(warm_up)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address of --host. Raises ConfigError for a name, which could stand for any address."""
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise ConfigError(f"--host is an IP address of this machine, such as 127.0.0.1, not {host!r}") from error


@contextlib.contextmanager
def _listening(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        listener = socket.create_server((str(address), port), family=family, backlog=512)
    except OSError as error:
        raise ConfigError(
            f"nothing can listen at {address} port {port}: {error.strerror}; choose another --host or --port"
        ) from error
    with listener:
        yield listener
