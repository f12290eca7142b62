"""`clairgen generate --on ray`: the shards of a run as actors of a Ray cluster, and merged where the command runs."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OnRay:
    """How a run is spread over a Ray cluster; see the options of `clairgen generate` of the same names.

    `address` is that of the cluster. With `no_coordinator` none is started, and each shard gets its share of the limits. `vllm`
    is the model that replicas serve, `vllm_replicas` how many, each on so many `vllm_gpus`, with `vllm_options` as their further
    arguments.
    """

    shards: int | None = None
    nodes: int | None = None
    address: str | None = None
    shard_cpus: float = 1.0
    local_folder: Path | None = None
    no_coordinator: bool = False
    vllm: str | None = None
    vllm_replicas: int | None = None
    vllm_gpus: int = 1
    vllm_options: str = ""
