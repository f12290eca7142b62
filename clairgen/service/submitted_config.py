"""A configuration that was submitted over HTTP: it may name what the operator of the service allows, and nothing else.

Every field that can hold a text needs a decision, in `_CHECKED` or among `_TEXTS`. One without a decision, such as that of a
plugin, may not be set, so that a new field is closed until somebody has thought about it.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from importlib import resources
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, RootModel

from clairgen.config.endpoint_checks import variables_in
from clairgen.config.evaluated import EvaluateConfig, own_keys
from clairgen.config.models import RunConfig
from clairgen.config.renamed import with_new_names
from clairgen.config.role import Role
from clairgen.config.strict_yaml import mapping, require_bounded, validated
from clairgen.embedded.gguf import is_on_this_machine
from clairgen.patterns import lazy_pattern
from clairgen.service.policy import MOST_SLOTS, Policy
from clairgen.service.runs_root import NotPermittedError, shown

MOST_BYTES: Final = 64 * 1024
EXAMPLE: Final = "example:"
"""How the name of a file of prompts begins that ships with clairgen, such as `example:classroom.jsonl`."""
SOURCE: Final = "the configuration"
PART: Final = r"[A-Za-z0-9_](?:\.?[A-Za-z0-9_:%+\[\] -]){0,199}\.?"
"""The subset or the split of a data set, which libraries may take for a part of a path: without slashes and two dots in a row."""
_PART: Final = lazy_pattern(PART)
_LONGEST_PART: Final = 200
_Model = TypeVar("_Model", bound=BaseModel)
_Decision = Callable[[Policy, str, Any], Any]


def checked(given: str | Mapping[str, Any], policy: Policy) -> RunConfig:
    """The configuration of a run, given as YAML text or as an object, with all paths absolute and without links.

    Raises ConfigError for what is none, NotPermittedError for what it may not name. It reads the disk.
    """
    content, _ = with_new_names(_content(given, RunConfig), SOURCE)
    return confined(validated(content, RunConfig, SOURCE), policy)


def checked_evaluation(given: str | Mapping[str, Any], policy: Policy) -> EvaluateConfig:
    """The same for the models of an evaluation; the configuration of a run serves."""
    return confined(validated(own_keys(_content(given, EvaluateConfig)), EvaluateConfig, SOURCE), policy)


def confined(model: _Model, policy: Policy, where: str = "") -> _Model:
    """A part of a configuration after all its fields were checked, with absolute paths. Raises NotPermittedError."""
    if isinstance(model, RootModel):
        return type(model)(_confined(policy, where, model.root))
    if isinstance(model, Role):
        _check_concurrency(model, where)
    changed = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        here = f"{where}.{field.alias or name}".lstrip(".")
        decision = decided(type(model), name)
        if decision is not None:
            changed[name] = None if value is None else decision(policy, here, value)
        elif not needs_decision(field.annotation):
            changed[name] = _confined(policy, here, value)
        elif value != field.get_default(call_default_factory=True):
            raise NotPermittedError(f"{here}: it cannot be set in what is submitted to the service; leave it out")
    # What is as it was stays unset where nobody has set it: a recipe refuses options that it does not have.
    return model.model_copy(update={name: value for name, value in changed.items() if value != getattr(model, name)})


def decided(model: type[BaseModel], field: str) -> _Decision | None:
    """What is done with the value of a field; None for one without a decision."""
    names = [f"{kind.__name__}.{field}" for kind in model.__mro__]
    return next((_CHECKED[name] for name in names if name in _CHECKED), None) or next(
        (_as_it_is for name in names if name in _TEXTS), None
    )


def needs_decision(annotation: Any) -> bool:  # noqa: ANN401 - any type form
    """Whether a field of this type can hold a text, or anything else in which one could be."""
    if get_origin(annotation) is Annotated:
        return needs_decision(get_args(annotation)[0])
    if get_origin(annotation) is Literal or annotation in (int, float, bool, NoneType, ...):
        return False
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | Enum):
        return False
    arguments = get_args(annotation)
    if isinstance(origin := get_origin(annotation), type) and issubclass(origin, Mapping):
        arguments = arguments[1:]  # names of roles and recipes
    return not arguments or any(map(needs_decision, arguments))


def _confined(policy: Policy, where: str, value: Any) -> Any:  # noqa: ANN401 - any value of a configuration
    if isinstance(value, BaseModel):
        return confined(value, policy, where)
    if isinstance(value, Mapping):
        return {key: _confined(policy, f"{where}.{key}", one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_confined(policy, f"{where}.{number}", one) for number, one in enumerate(value))
    return value


def _content(given: str | Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    if not isinstance(given, str):
        return dict(given)
    if len(given.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise NotPermittedError(f"{SOURCE} that is submitted has at most {MOST_BYTES:,} bytes")
    require_bounded(given, SOURCE)
    return mapping(given, model, SOURCE)


def _check_concurrency(role: Role, where: str) -> None:
    if (role.concurrency or 0) > MOST_SLOTS and any(map(is_on_this_machine, role.endpoints)):
        raise NotPermittedError(
            f"{where}.concurrency: an engine of the service answers at most {MOST_SLOTS} requests at once"
        )


def _as_it_is(policy: Policy, where: str, value: Any) -> Any:  # noqa: ANN401 - any value of a field
    del policy, where
    return value


def _tasks_file(policy: Policy, where: str, path: Path) -> Path:
    folder = resources.files("clairgen.data").joinpath("examples")
    shipped = {one.name: Path(str(one)) for one in folder.iterdir() if one.name.endswith(".jsonl")}
    if path in shipped.values():
        return path
    if not str(path).startswith(EXAMPLE):
        return policy.root.file(str(path), where)
    if (name := str(path).removeprefix(EXAMPLE)) not in shipped:
        known = ", ".join(f"{EXAMPLE}{one}" for one in sorted(shipped))
        raise NotPermittedError(f"{where}: no file {shown(name)} ships with clairgen; there are {known}")
    return shipped[name]


def _files(policy: Policy, where: str, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(policy.root.file(str(path), where) for path in paths)


def _pairs(policy: Policy, where: str, path: Path) -> Path:
    return Path(policy.source(f"./{path}" if str(path).startswith("hub:") else str(path), where))


def _hub(policy: Policy, where: str, name: str) -> str:
    return policy.hub_name(name, where)


def _part(policy: Policy, where: str, text: str) -> str:
    """The subset or the split of a data set, or its revision."""
    del policy
    if not _PART.fullmatch(text) or len(text) > _LONGEST_PART:
        raise NotPermittedError(
            f"{where}: {shown(text)} is not a name of letters, digits, spaces and _ - . : % + [ ], without two dots in a row"
        )
    return text


def _template(policy: Policy, where: str, text: str) -> str:
    return str(policy.root.file(text, where)) if text.endswith(".txt") else text


def _tokenizer(policy: Policy, where: str, text: str) -> str:
    name, mark, revision = text.partition("@")
    if text.endswith(".json"):
        return str(policy.root.file(text, where))
    return f"{policy.model(name, where)}{mark}{revision and _part(policy, where, revision)}"


def _endpoints(policy: Policy, where: str, endpoints: list[str]) -> list[str]:
    return [policy.endpoint(one, where) for one in endpoints]


def _variable(policy: Policy, where: str, name: str) -> str:
    policy.check_variable(name, where)
    return name


def _headers(policy: Policy, where: str, headers: dict[str, str]) -> dict[str, str]:
    for name in variables_in(headers):
        policy.check_variable(name, where)
    return headers


_CHECKED: Final[Mapping[str, _Decision]] = {
    "TaskSource.path": _tasks_file,
    "TaskSource.hub": _hub,
    "TaskSource.subset": _part,
    "TaskSource.split": _part,
    "PairSource.path": _pairs,
    "PairSource.hub": _hub,
    "PairSource.subset": _part,
    "PairSource.split": _part,
    "RecipeChoice.template": _template,
    "Contamination.files": _files,
    "LengthDifference.tokenizer": _tokenizer,
    "Role.endpoints": _endpoints,
    "Role.api_key_env": _variable,
    "Role.headers": _headers,
}
_TEXTS: Final = frozenset(
    {
        "Criterion.name",
        "Criterion.description",
        "PairSource.name",
        "PairSource.columns",
        "RecipeChoice.name",
        "RecipeChoice.as_name",
        "Role.model",
        "Role.revision",
        "Role.reasoning_effort",
        "Role.stop",
        "Role.system",
        "Role.extra",
        "Role.chat_template_kwargs",
        "TaskSource.column",
        "TaskSource.answers",
        "TaskSource.scores",
    }
)
"""Fields whose texts are names within data or are sent to the model's server as they are: they name nothing on this machine."""
