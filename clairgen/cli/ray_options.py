"""The options of `clairgen generate --on ray`, as they are given and as they are written again."""

from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from clairgen.errors import ConfigError
from clairgen.ray_cluster import OnRay

MOST_SHARDS: Final = 10_000
_FLAGS: Final = {"address": "ray_address"}
"""Options that are not called as their field is."""


class Engine(StrEnum):
    """What runs the shards of a run on many machines."""

    RAY = "ray"


OnOption = Annotated[
    Engine | None,
    typer.Option("--on", help="Make the run in shards over the nodes of a Ray cluster, and merge them into --run."),
]
ShardsOption = Annotated[
    int | None,
    typer.Option(
        "--shards",
        min=1,
        max=MOST_SHARDS,
        help="With --on ray: how many shards; left out, as many as nodes. A run keeps their number.",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="With --on ray: the cluster's address, auto for the one that this machine belongs to, or local for a new one; left "
        "out, RAY_ADDRESS, a cluster of this machine, else a new one.",
    ),
]
CpusOption = Annotated[
    float, typer.Option("--shard-cpus", min=0, max=1024, help="With --on ray: CPUs that Ray reserves for each shard.")
]
NodesOption = Annotated[
    int | None,
    typer.Option(
        "--nodes", min=1, max=100_000, help="With --on ray: wait until so many nodes have joined the cluster."
    ),
]
LocalFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--local-folder",
        help="With --on ray and --copy-to: the folder of each node for its shards; left out, one in Ray's temporary folder.",
    ),
]
NoCoordinatorOption = Annotated[
    bool,
    typer.Option(
        "--no-coordinator",
        help="With --on ray: start no coordinator; each of N shards gets an N-th of rate limits, concurrency and the budget.",
    ),
]
VllmModelOption = Annotated[
    str | None,
    typer.Option(
        "--vllm",
        metavar="MODEL",
        help="With --on ray: serve MODEL with vLLM on the cluster's GPUs, for the roles that have this model.",
    ),
]
ReplicasOption = Annotated[
    int | None,
    typer.Option(
        "--vllm-replicas", min=1, max=10_000, help="How many of them; left out, as many as there are GPUs for."
    ),
]
GpusOption = Annotated[int, typer.Option("--vllm-gpus", min=1, max=64, help="GPUs of each of them.")]
VllmWordsOption = Annotated[
    str, typer.Option("--vllm-options", help="Further arguments of vllm serve, such as '--max-model-len 4096'.")
]


def words_of(on_ray: OnRay) -> list[str]:
    """The options as they are written; the number of shards is known to the run."""
    words = ["--on", Engine.RAY.value]
    given = {
        _FLAGS.get(field.name, field.name): (getattr(on_ray, field.name), field.default) for field in fields(on_ray)
    }
    for name, (value, default) in given.items():
        if value != default and name != "shards":
            words += [f"--{name.replace('_', '-')}"]
            if value is not True:
                words += [f"{value:g}" if isinstance(value, float) else str(value)]
    return words


def spread(engine: Engine | None, on_ray: OnRay) -> OnRay | None:
    """How a run is spread, if it is. Raises ConfigError for options of a run that is not."""
    if engine is None and on_ray != OnRay():
        given = next(field.name for field in fields(OnRay) if getattr(on_ray, field.name) != field.default)
        raise ConfigError(f"--{_FLAGS.get(given, given).replace('_', '-')} is for --on ray; leave it out")
    return None if engine is None else on_ray
