"""The models of an evaluation: those of a configuration file, or one that is named on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, field_validator

from clairgen.config.field_checks import Strict
from clairgen.config.file import with_absolute_endpoints
from clairgen.config.models import RunConfig, numbered_roles
from clairgen.config.role import Role
from clairgen.config.strict_yaml import mapping, read_text, validated
from clairgen.errors import ConfigError

OPPONENT: Final = "opponent"
EvaluatedRole = Annotated[
    str, Field(pattern=r"^(target|reviser|critic|editor|judge(-\d+)?|stronger|opponent|other-\d+)$")
]
_OF_A_RUN: Final = frozenset(field.alias or name for name, field in RunConfig.model_fields.items())


class EvaluateConfig(Strict):
    """What an evaluation takes of a configuration; that of a run serves, whose other keys are not looked at."""

    seed: int = Field(0, description="Draws the seeds of all requests.")
    models: dict[EvaluatedRole, Role] = Field(
        description="`target` is the model that is evaluated; `judge` and `opponent` where the evaluation needs them."
    )
    budget_usd: float | None = Field(
        None, gt=0, le=10**6, description="Most that all evaluations of the directory may cost."
    )

    @field_validator("models", mode="before")
    @classmethod
    def _lists_stand_for_numbered_roles(cls, models: object) -> object:
        return numbered_roles(models, OPPONENT)


def load_evaluate_config(path: Path | str) -> EvaluateConfig:
    """Read the models of a configuration file; model files are counted from its folder. Raises ConfigError."""
    path = Path(path)
    found = validated(own_keys(mapping(read_text(path), EvaluateConfig, str(path))), EvaluateConfig, str(path))
    return found.model_copy(update={"models": with_absolute_endpoints(found.models, path.resolve().parent)})


def own_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the keys that only a run has."""
    return {key: value for key, value in content.items() if key in EvaluateConfig.model_fields or key not in _OF_A_RUN}


def named_model(endpoint: str, name: str | None, **settings: object) -> Role:
    """The role of a model by its endpoint, with further fields of a role.

    A model that clairgen serves itself is named after its file, or `classroom-student`. Raises ConfigError for an endpoint that
    is none, and for a server of the user's without the model's name.
    """
    if endpoint.startswith("gguf:"):
        path, mark, options = endpoint.removeprefix("gguf:").partition("?")
        endpoint = f"gguf:{Path(path).expanduser().absolute()}{mark}{options}"
        name = name or Path(path).stem
    elif endpoint.startswith("classroom:"):
        name = name or endpoint.replace(":", "-")
    if name is None:
        raise ConfigError(f"the server at {endpoint} may have several models; name one with --model")
    content = {
        "model": name,
        "endpoints": [endpoint],
        **{key: value for key, value in settings.items() if value is not None},
    }
    return validated(content, Role, "the model")
