"""What the subcommands that use a judge share: options that name it, and the models of an evaluation with a judge."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clairgen.cli.evaluation_options import EvaluatedModels, evaluated_models
from clairgen.config.role import Role
from clairgen.errors import ConfigError

if TYPE_CHECKING:
    from clairgen.config.evaluated import EvaluateConfig
    from clairgen.evaluation.recorded_outputs import RecordedOutputs

JudgingConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A configuration with models.judge, and models.target where a model is asked."),
]
JudgeOption = Annotated[
    str,
    typer.Option(
        "--judge", help="Which judge of --config, if it has several (judge, judge-2); results are kept apart."
    ),
]
JudgeModelOption = Annotated[
    str | None, typer.Option("--judge-model", help="The judge's name at --judge-endpoint, in place of --config.")
]
JudgeEndpointOption = Annotated[
    str | None, typer.Option("--judge-endpoint", help="Where the judge is: a base URL up to /v1, or gguf:PATH.")
]
JudgeKeyOption = Annotated[
    str | None,
    typer.Option("--judge-api-key-env", help="The environment variable with the API key of --judge-endpoint."),
]
TemplateOption = Annotated[
    str, typer.Option("--template", help="The judge's prompt: the shipped one, or the path of your own (.txt).")
]


def named_judge(
    config: "EvaluateConfig | None", judge: str, model: str | None, endpoint: str | None, api_key_env: str | None
) -> Role:
    """The judge of a configuration, or the one at `endpoint`, asked at temperature 0. Raises ConfigError without one."""
    from clairgen.config.evaluated import named_model

    if endpoint is not None:
        return named_model(endpoint, model, api_key_env=api_key_env, temperature=0.0, max_tokens=2048)
    if model is not None or api_key_env is not None:
        raise ConfigError("--judge-model and --judge-api-key-env go with --judge-endpoint")
    if config is None:
        raise ConfigError(
            "name a judge: --config FILE with models.judge, or --judge-endpoint URL and --judge-model NAME"
        )
    if judge not in config.models:
        judges = ", ".join(sorted(name for name in config.models if name.startswith("judge"))) or "none"
        raise ConfigError(f"the configuration has no {judge!r}; its judges: {judges}")
    return config.models[judge]


@dataclass(frozen=True, slots=True)
class ComparedModels:
    """What is compared by whom: recorded answers, or else a model that is asked; the judge; the opponent of a configuration."""

    recorded: "RecordedOutputs | None"
    asked: EvaluatedModels | None
    judge: Role
    opponent: Role | None = None
    seed: int = 0
    configured_usd: float | None = None

    def model(self, asked: EvaluatedModels | None) -> "Role | RecordedOutputs":
        """The recorded answers, or the target of `asked`."""
        if self.recorded is not None:
            return self.recorded
        assert asked is not None  # noqa: S101 - one of both is there
        return asked.roles["target"]


def compared_models(
    config: Path | None,
    model: str | None,
    endpoint: str | None,
    answers: Path | None,
    judge: tuple[str, str | None, str | None, str | None],
    **target: Any,  # noqa: ANN401 - of `evaluated_models`
) -> ComparedModels:
    """The models that the options name; `judge` are the arguments of `named_judge` after the first.

    Raises ConfigError where the model is named in no way, or in two.
    """
    from clairgen.config.evaluated import OPPONENT, load_evaluate_config
    from clairgen.evaluation.recorded_outputs import read_outputs

    loaded = load_evaluate_config(config) if config is not None else None
    of_judge = named_judge(loaded, *judge)
    seed, usd = (loaded.seed, loaded.budget_usd) if loaded is not None else (0, None)
    opponent = loaded.models.get(OPPONENT) if loaded is not None else None
    checkpoints = target.get("checkpoints")
    if answers is not None:
        if model is not None or endpoint is not None or checkpoints is not None:
            raise ConfigError(
                "--answers gives recorded answers in place of a model; leave --model, --endpoint and --checkpoints out"
            )
        return ComparedModels(read_outputs(answers), None, of_judge, opponent, seed, usd)
    if endpoint is None and checkpoints is None and (loaded is None or "target" not in loaded.models):
        raise ConfigError(
            "name what is evaluated: --answers FILE with recorded answers, --endpoint URL and --model NAME, or models.target in "
            "--config"
        )
    has_target = loaded is not None and "target" in loaded.models
    asked = evaluated_models(config if endpoint is None and has_target else None, model, endpoint, **target)
    return ComparedModels(None, asked, of_judge, opponent, seed, usd)
