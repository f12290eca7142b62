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

from clairgen.cli.signals import run_drainable
from clairgen.errors import ConfigError
from clairgen.installed import require_serve_extra
from clairgen.reporting.sanitize import plain_line

_SECONDS_TO_DRAIN: Final = 10
_MOST_CONNECTIONS: Final = 256


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
) -> None:
    """Serve the runs of a folder to browsers and over HTTP: reports, pairs one after another, and votes.

    Runs may go on meanwhile. On this machine alone no token is needed; the variables CLAIRGEN_TOKEN_READ and
    CLAIRGEN_TOKEN_REVIEW and --tokens give some. Ctrl-C ends it.

    Example: clairgen serve runs
    """
    require_serve_extra()
    from clairgen.service.app import service, today
    from clairgen.service.request_checks import allowed_hosts
    from clairgen.service.runs_root import RunsRoot
    from clairgen.service.tokens import read_tokens

    runs = RunsRoot(root)
    runs.check()
    address = _address(host)
    known = read_tokens(os.environ, tokens, today)
    names = allow_host or []
    if not address.is_loopback:
        if not known.are_needed:
            raise ConfigError(
                f"{host} can be reached by others, so the service needs a token there: set CLAIRGEN_TOKEN_REVIEW to that of "
                "openssl rand -hex 32, or name a file with --tokens"
            )
        if address.is_unspecified and not names:
            raise ConfigError(f"at {host} say by which names it is reached: --allow-host NAME")
    with _listening(address, port) as listener:
        bound = listener.getsockname()[1]
        shown = f"[{address}]" if address.version == 6 else str(address)
        typer.echo(f"Runs of {plain_line(str(root))}: http://{shown}:{bound}/")
        typer.echo("A token is needed." if known.are_needed else "Everybody on this machine can read and vote.")
        app = service(runs, known, allowed_hosts(str(address), names), has_public_metrics=public_metrics)
        run_drainable(lambda stop: _serve(app, listener, stop), _SECONDS_TO_DRAIN)


async def _serve(app: object, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, and then finish what is being answered."""
    import uvicorn

    class Server(uvicorn.Server):
        """Leaves signals to the command line."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    server = Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]  # an ASGI application, which uvicorn types in its own words
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=_SECONDS_TO_DRAIN,
        )
    )

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    async with asyncio.TaskGroup() as group:
        ending = group.create_task(end())
        await server.serve(sockets=[listener])
        ending.cancel()


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
