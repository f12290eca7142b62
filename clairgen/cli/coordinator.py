"""`clairgen coordinator`: what a coordinator knows of its groups, and what somebody frees who knows more."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError, EndpointsError
from clairgen.reporting.sanitize import plain_line, safe_line
from clairgen.wording import counted


def coordinator_command(
    url: Annotated[
        str | None, typer.Argument(help="The clairgen serve.", envvar="CLAIRGEN_COORDINATOR", show_default=False)
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only this group.")] = None,
    free: Annotated[
        str | None,
        typer.Option(
            metavar="RUN_ID",
            help="Free what a run of the group holds of the budget, and which you know that nothing will spend.",
        ),
    ] = None,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Forget the group, with what its runs have spent and which shards are done."),
    ] = False,
    idle_days: Annotated[
        int | None,
        typer.Option(
            min=1, help="Only groups of which nothing was heard for so many days; with --forget all of them go."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, one object a group, for scripts.")] = False,
) -> None:
    """Show the groups that a coordinator divides limits and a budget among: members, money, leases, shards.

    Example: clairgen coordinator http://head:8321
    """
    if url is None:
        raise ConfigError("name the coordinator, such as http://head:8321, or set CLAIRGEN_COORDINATOR")
    if free is not None and group is None:
        raise ConfigError("--free changes one group; name it with --group NAME")
    if free is not None and forget:
        raise ConfigError("--free and --forget are two things: give one of them")
    if free is not None and idle_days is not None:
        raise ConfigError("--free changes one run, whenever it was heard of; leave out --idle-days")
    if forget and group is None and idle_days is None:
        raise ConfigError("say what to forget: --group NAME, or --idle-days N for all groups that are over so long")
    groups, sentence = run_coroutine(_asked(url, group, free, idle_days, forget=forget))
    if sentence is not None:
        typer.echo(plain_line(sentence))
    elif as_json:
        typer.echo(json.dumps(groups, indent=2))
    elif not groups:
        typer.echo("No group of this name." if group is not None else "No such groups." if idle_days else "No groups.")
    else:
        console = Console()
        for one in groups:
            _print_group(console, one)


async def _asked(
    url: str, group: str | None, free: str | None, idle_days: int | None, *, forget: bool
) -> tuple[list[dict[str, Any]], str | None]:
    """The groups, or what was done, in words."""
    from clairgen.coordination.coordinator_client import (
        OPERATOR_VARIABLES,
        CoordinatorAddress,
        CoordinatorClient,
        SilentError,
    )
    from clairgen.inference.runtime import Runtime

    address = CoordinatorAddress.of(url, os.environ, group, OPERATOR_VARIABLES)
    transport = Runtime().transport(lambda _: None)
    client = CoordinatorClient(transport, address, group or "")
    try:
        if free is not None:
            freed = f"${await client.free(free):,.4f} are free again for the group {group}."
            return [], f"{freed} A process of that run which is alive and cut off may spend them yet: end it."
        if forget and idle_days is None:
            await client.forget(group or "")
            return [], f"The group {group} is forgotten."
        found = [one for one in await client.overview() if group in (None, one["group"]) and _is_idle(one, idle_days)]
        if not forget:
            return found, None
        for one in found:
            await client.forget(one["group"])
        return [], f"{counted(len(found), 'group')} forgotten."
    except SilentError as error:
        raise EndpointsError(f"the coordinator at {address.url} does not answer ({error})") from error
    finally:
        await transport.close()


def _is_idle(group: dict[str, Any], days: int | None) -> bool:
    """Whether nothing was heard of a group for so many days."""
    if days is None:
        return True
    since = group["idle_since"]
    return since is not None and datetime.now(UTC) - datetime.fromisoformat(since) >= timedelta(days=days)


def _print_group(console: Console, group: dict[str, Any]) -> None:
    budget = f" of ${group['budget_usd']:,.2f}" if group["budget_usd"] is not None else ""
    money = f"${group['spent_usd']:,.4f} spent, ${group['allotted_usd']:,.4f} allotted{budget}"
    idle = f", nobody at work since {group['idle_since'][:16].replace('T', ' ')} UTC" if group["idle_since"] else ""
    console.print(
        safe_line(f"{group['group']}: {counted(len(group['members']), 'run')}, {money}{idle}"), soft_wrap=True
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    table.add_column("state")
    for title in ("spent", "allotted"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("run", overflow="fold")
    for one in group["members"]:
        amounts = (f"${one[name]:,.4f}" for name in ("spent_usd", "allotted_usd"))
        table.add_row(safe_line(one["run_id"]), one["state"], *amounts, safe_line(one["run"]))
    console.print(table)
    for line in (*_limits(group), *_shards(group)):
        console.print(safe_line(line), soft_wrap=True)
    console.print()


def _limits(group: dict[str, Any]) -> Iterator[str]:
    for endpoint in group["endpoints"]:
        limits = ", ".join(
            f"{name.replace('_', ' ')} {endpoint[name]:g} ({leased:g} leased)"
            for name, leased in endpoint["leased"].items()
        )
        yield f"{endpoint['endpoint']}: {limits or 'no limits'}"


def _shards(group: dict[str, Any]) -> Iterator[str]:
    for state in ("held", "done", "free"):
        found = [one["shard"] for one in group["shards"] if one["state"] == state]
        if found:
            yield f"shards {'begun and free' if state == 'free' else state}: {', '.join(found)}"
