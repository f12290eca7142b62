"""`clairgen register`: announce a model server to the runs that ask it, for as long as it answers."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_drainable
from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import plain_line


def register_command(
    model: Annotated[str, typer.Option(help="The model's name, as configurations have it.", show_default=False)],
    url: Annotated[
        str, typer.Option(help="The server's base URL (up to /v1), as other machines reach it.", show_default=False)
    ],
    coordinator: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="CLAIRGEN_COORDINATOR",
            help="The clairgen serve that tells runs of it, which have `registered` under `endpoints`.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="In place of a coordinator a folder that all machines share (`registered:FOLDER` under `endpoints`).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Announce a model server to the runs that ask it, for as long as it answers. Ctrl-C or SIGTERM withdraws it.

    Example: clairgen register --model my-model --url http://node1:8000/v1 --coordinator http://head:8321
    """
    from clairgen.config.endpoint_checks import checked_server
    from clairgen.coordination.announcing import Registry, RegistryFolder, RegistryOfCoordinator, keep_announced
    from clairgen.coordination.coordinator_client import CoordinatorAddress, CoordinatorClient
    from clairgen.coordination.wire import ModelServer
    from clairgen.inference.runtime import Runtime

    try:
        checked_server(url)
    except ValueError as error:
        raise ConfigError(f"--url {url!r}: {error}") from error
    if folder is not None:
        coordinator = None  # the environment may name one for other commands
    elif coordinator is None:
        raise ConfigError("give --coordinator URL, or --folder FOLDER, where runs look for their servers")
    address = None if coordinator is None else CoordinatorAddress.of(coordinator, os.environ)
    server = ModelServer(model=model, url=url.rstrip("/"))

    async def work(stop: asyncio.Event) -> None:
        transport = Runtime().transport(_note)
        try:
            registry: Registry
            if address is None:
                registry = RegistryFolder(folder or Path())
            else:
                registry = RegistryOfCoordinator(CoordinatorClient(transport, address, ""))
            await keep_announced(server, registry, transport, stop, _note)
        finally:
            await transport.close()

    run_drainable(work)


def _note(sentence: str) -> None:
    typer.echo(plain_line(sentence), err=True)
