"""What the subcommands of `evaluate` share: options that name a model, running an evaluation, and printing its result."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from clairgen.config.role import Role
from clairgen.errors import ConfigError

RunOption = Annotated[
    Path,
    typer.Option("--run", help="The directory of evaluations: created if new, else continued.", show_default=False),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A configuration whose models.target is evaluated; that of a run serves."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="The model's name at --endpoint, in place of --config.")
]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", help="A base URL up to /v1, gguf:PATH, or classroom:student.")
]
RevisionOption = Annotated[
    str | None, typer.Option("--revision", help="Names the weights, where they change under one model name.")
]
KeyOption = Annotated[
    str | None, typer.Option("--api-key-env", help="The environment variable with the API key of --endpoint.")
]
TemperatureOption = Annotated[
    float | None, typer.Option("--temperature", min=0, help="Sampling temperature; with --endpoint 0 if left out.")
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, max=10**8, help="Most tokens of an answer; with --endpoint 2048 if left out."),
]
CheckpointsOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoints", help="The output folder of clairgen train: each checkpoint-N and the final model in turn."
    ),
]
VllmOption = Annotated[
    str | None,
    typer.Option(
        "--vllm",
        help="With --checkpoints: a python with vLLM, its program vllm, or `no`; left out, the one on PATH or beside clairgen.",
    ),
]
VllmOptionsOption = Annotated[
    str, typer.Option("--vllm-options", help="Further arguments of that vLLM, such as '--max-model-len 4096'.")
]
LabelOption = Annotated[str | None, typer.Option("--label", help="What tables call the model; its name if left out.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, max=2**40, help="Only the first LIMIT questions.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be requested and its cost; request nothing.")
]
DetachOption = Annotated[
    bool,
    typer.Option(
        "--detach", help="Leave once all that is left waits in batches; the same command later collects them."
    ),
]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Try failed items again.")]
BudgetOption = Annotated[
    float | None,
    typer.Option("--budget-usd", help="Most that the directory may cost, over all its sessions; it remembers that."),
]
NoBudgetOption = Annotated[bool, typer.Option("--no-budget", help="Lift the directory's budget.")]
JsonOption = Annotated[bool, typer.Option("--json", help="A JSON object, for scripts.")]


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """The output folder of a training run, and what serves the checkpoints in it.

    `vllm` is a python with vLLM, the program vllm, or `no`; None takes the one that is found. `vllm_options` are further
    arguments of it.
    """

    folder: Path
    vllm: str | None = None
    vllm_options: str = ""

    @classmethod
    def named(cls, folder: Path | None, vllm: str | None, vllm_options: str) -> "CheckpointSource | None":
        """What the options name; None without a folder. Raises ConfigError for options of vLLM without one."""
        if folder is not None:
            return cls(folder, vllm, vllm_options)
        if vllm is not None or vllm_options:
            raise ConfigError("--vllm and --vllm-options say how --checkpoints are served; name their folder as well")
        return None


@dataclass(frozen=True, slots=True)
class EvaluatedModels:
    """The models of an evaluation by role, the seed of their requests, and the budget that a configuration names."""

    roles: Mapping[str, Role]
    seed: int = 0
    configured_usd: float | None = None

    def __post_init__(self) -> None:
        if "target" not in self.roles:
            raise ConfigError("the configuration has no model to evaluate; add models.target")

    def with_target(self, **changes: object) -> "EvaluatedModels":
        """The same with other fields of the target's role."""
        from clairgen.config.strict_yaml import validated

        target = validated(self.roles["target"].model_dump() | changes, Role, "models.target")
        return replace(self, roles={**self.roles, "target": target})

    def with_target_at(self, endpoint: str, revision: str) -> "EvaluatedModels":
        """The same with other weights in the role of the target, which are served on this machine."""
        return replace(self, roles={**self.roles, "target": self.roles["target"].served_here(endpoint, revision)})


def evaluated_models(
    config: Path | None,
    model: str | None,
    endpoint: str | None,
    *,
    checkpoints: Path | None = None,
    revision: str | None = None,
    api_key_env: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> EvaluatedModels:
    """The models of `config`, or the one at `endpoint`; sampling that is named overrides that of the target.

    With `checkpoints` neither is needed; the target of `config` then says how they are sampled. Raises ConfigError where both or
    neither are given.
    """
    from clairgen.config.evaluated import load_evaluate_config, named_model

    if checkpoints is not None:
        if endpoint is not None or revision is not None:
            raise ConfigError("--checkpoints are served by clairgen; leave --endpoint and --revision out")
        if config is None:
            endpoint, model = f"gguf:{checkpoints}", model or checkpoints.resolve().name
    if (config is None) == (endpoint is None):
        raise ConfigError("name the model to evaluate with --config FILE, or with --endpoint URL and --model NAME")
    if endpoint is not None:
        role = named_model(
            endpoint,
            model,
            revision=revision,
            api_key_env=api_key_env,
            temperature=0.0 if temperature is None else temperature,
            max_tokens=max_tokens or 2048,
        )
        return EvaluatedModels({"target": role})
    if model is not None or api_key_env is not None:
        raise ConfigError("--model and --api-key-env go with --endpoint; with --config, give both in the file")
    assert config is not None  # noqa: S101 - exactly one is given
    loaded = load_evaluate_config(config)
    found = EvaluatedModels(loaded.models, loaded.seed, loaded.budget_usd)
    changes = {"revision": revision, "temperature": temperature, "max_tokens": max_tokens}
    given = {name: value for name, value in changes.items() if value is not None}
    return found.with_target(**given)
