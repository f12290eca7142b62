"""The connection to Ray: a cluster that is there, or one that is started for the command; shards as actors of it.

Ray places the actors, finds out that a node is lost, and starts its actors on another one.
"""

import asyncio
import contextlib
import logging
import os
import platform
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError

from clairgen.errors import DRAINED, USER, ConfigError, RunStoppedError
from clairgen.ray_cluster.model_replicas import ReplicaProcess, Replicas
from clairgen.ray_cluster.shard_process import ShardEnd, ShardJob, ShardProcess, ShardState
from clairgen.reporting.sanitize import plain_line, shortened
from clairgen.wording import counted

_SECONDS_TO_NOTE: Final = 10.0
_POLL_SECONDS: Final = 1.0
_SECONDS_TO_CONNECT: Final = 10.0
_CALLS: Final = 4  # to run, and meanwhile to look and to drain


@contextlib.contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Connect to the cluster at an address, or by Ray's own rule: RAY_ADDRESS, a cluster of this machine, else a new one.

    Raises ConfigError where there is none, or it has another version of Ray or Python.
    """
    _require_listener(address or os.environ.get("RAY_ADDRESS", ""))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody whom the user did not name
    try:
        ray.init(
            address=address,
            include_dashboard=False if address in (None, "local") else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            namespace="clairgen",
        )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        where = f"Ray at {address}" if address else "Ray"
        raise ConfigError(
            f"{where} cannot be reached: {shortened(plain_line(str(error)))}; start it there with ray start, name another with "
            "--ray-address, or, if it wants a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here too"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Raise ConfigError if nobody listens at HOST:PORT, for which Ray itself would wait many minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "://" in address:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"nobody answers at {address}, where Ray should be: {error}; start it there with ray start --head, or name another "
            "with --ray-address"
        ) from error


def address_of_command() -> str:
    """The IP address by which nodes reach this machine. Raises ConfigError where it is outside of the cluster."""
    if ray.util.client.ray.is_connected():
        raise ConfigError(
            "with a ray:// address this machine is no node of the cluster, whose nodes could not reach a coordinator here; give "
            "--coordinator URL, or --no-coordinator to divide limits and budget equally"
        )
    return str(ray.util.get_node_ip_address())


def living_nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


async def wait_for_nodes(
    count: int, tell: Callable[[str], None], stop: asyncio.Event, *, most_seconds: float = 600.0
) -> None:
    """Wait until so many nodes have joined, and say so meanwhile. Raises ConfigError if they do not join in time."""
    seconds = 0.0
    while (found := len(living_nodes())) < count and not stop.is_set():
        if seconds >= most_seconds:
            raise ConfigError(
                f"only {counted(found, 'node')} of {count} joined Ray's cluster within {most_seconds:g} s; start the others "
                "with ray start, or give a smaller --nodes"
            )
        if seconds % _SECONDS_TO_NOTE == 0:
            tell(f"waiting for nodes: {found} of {count} have joined")
        await asyncio.sleep(_POLL_SECONDS)
        seconds += _POLL_SECONDS


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """Where a node keeps a run's shards, under its `name`: in `local` or Ray's temporary folder.

    Without a durable copy it is the folder `kept`, which only nodes on the `machine` of the command have.
    """

    name: str
    kept: str | None
    local: str | None
    machine: str = field(default_factory=platform.node)


class ShardActor(ShardProcess):
    """A shard's process as an actor."""

    def __init__(self, job: ShardJob, folder: NodeFolder) -> None:
        context = ray.get_runtime_context()
        node_id = context.get_node_id()
        self._is_lost_with_node = folder.kept is not None and platform.node() != folder.machine
        if folder.kept is None:
            # A node that comes back has another id, so that nothing goes on from what an earlier one left there.
            local = Path(folder.local) if folder.local else _temporary_folder(context.get_session_name())
            place = local / folder.name / node_id
        else:
            place = Path(folder.kept)
        super().__init__(job, place, f"{platform.node()} ({node_id[:8]})")

    def run(self, token: str | None = None) -> ShardEnd:
        """See `ShardProcess`; refused on another machine than that of the command where nothing is copied."""
        if self._is_lost_with_node:
            return self.ended(
                USER,
                "Error: the cluster has other machines than that of this command, and what such a node answers would be lost "
                "with it; give --copy-to",
            )
        return super().run(token)


class RemoteActor:
    """A shard as an actor that Ray starts again without end, on another node if its node is lost; see `RemoteShard`.

    The `token` goes with each call that runs it. What an actor is made of Ray keeps at the head, and may log or save there.
    """

    def __init__(self, actor: Any, token: str | None) -> None:  # noqa: ANN401 - a handle of Ray, whose methods are made at run time
        self._actor = actor
        self._token = token
        self._is_killed = False

    async def run(self) -> ShardEnd:
        """See `RemoteShard`. Raises RunStoppedError if Ray gives the actor up."""
        try:
            end: ShardEnd = await self._actor.run.remote(self._token)
        except ActorDiedError as error:
            if self._is_killed:
                return ShardEnd(DRAINED, "", "no node")
            return ShardEnd(USER, f"Error: Ray has given it up: {_last_line(error)}", "its node")
        except RayError as error:
            raise RunStoppedError(
                f"Ray gave a shard up: {_last_line(error)}; run the same command again to go on"
            ) from error
        return end

    async def state(self) -> ShardState | None:
        """See `RemoteShard`."""
        try:
            state: ShardState = await self._actor.state.options(max_task_retries=0).remote()
        except RayError:
            return None
        return state

    async def reconfigure(self, configuration: str) -> None:
        """See `RemoteShard`."""
        with contextlib.suppress(RayError):
            await self._actor.reconfigure.options(max_task_retries=0).remote(configuration)

    async def drain(self) -> None:
        """See `RemoteShard`."""
        try:
            await self._actor.drain.options(max_task_retries=0).remote()
        except ActorUnavailableError as error:
            raise TimeoutError from error
        except ActorDiedError:
            return

    def kill(self) -> None:
        """See `RemoteShard`."""
        self._is_killed = True
        ray.kill(self._actor)


def start_shard(job: ShardJob, folder: NodeFolder, cpus: float, token: str | None) -> RemoteActor:
    """Give a shard to Ray, which places it as soon as a node has so many CPUs to spare; `token` is for its coordinator."""
    placed = ray.remote(ShardActor).options(
        num_cpus=cpus, max_restarts=-1, max_task_retries=-1, max_concurrency=_CALLS, scheduling_strategy="SPREAD"
    )
    return RemoteActor(placed.remote(job, folder), token)


class ReplicaActor(ReplicaProcess):
    """A replica of a model as an actor, at the address by which other nodes reach its own."""

    def __init__(self, replicas: Replicas, name: str) -> None:
        context = ray.get_runtime_context()
        folder = _temporary_folder(context.get_session_name()) / name / context.get_node_id()
        super().__init__(replicas, ray.util.get_node_ip_address(), folder / f"vllm-{context.get_actor_id()}.log")


class RemoteReplicaActor:
    """A replica as an actor that Ray starts again without end; see `RemoteReplica`."""

    def __init__(self, actor: Any) -> None:  # noqa: ANN401 - a handle of Ray
        self._actor = actor

    async def run(self) -> str:
        """See `RemoteReplica`."""
        try:
            reason: str = await self._actor.run.remote()
        except RayError as error:
            return _last_line(error)
        return reason

    async def url(self) -> str | None:
        """See `RemoteReplica`."""
        try:
            url: str | None = await self._actor.url.options(max_task_retries=0).remote()
        except RayError:
            return None
        return url


def start_replica(replicas: Replicas, name: str) -> RemoteReplicaActor:
    """Give one replica to Ray, which places it as soon as a node has its GPUs to spare."""
    placed = ray.remote(ReplicaActor).options(
        num_cpus=0, num_gpus=replicas.gpus, max_restarts=-1, max_task_retries=-1, max_concurrency=_CALLS
    )
    return RemoteReplicaActor(placed.remote(replicas, name))


def gpus_of_cluster() -> float:
    """The GPUs of all nodes that have joined."""
    return float(ray.cluster_resources().get("GPU", 0))


def _temporary_folder(session: str) -> Path:
    """Where a node keeps what belongs to a session of Ray."""
    return Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / session / "clairgen"


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(plain_line(lines[-1])) if lines else type(error).__name__
