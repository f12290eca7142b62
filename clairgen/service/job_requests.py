"""What can be submitted: one model for each verb, the run that a job works on, and the command line that does the same."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from clairgen.config.file import config_yaml, load_config, parse_config
from clairgen.config.models import RunConfig
from clairgen.errors import InputError
from clairgen.service.runs_root import RunsRoot
from clairgen.store import RunDirectory

_LARGEST: Final = 2**53
RunNameField = Annotated[str, Field(min_length=1, max_length=255, description="The name of the run's folder.")]
Configuration = Annotated[
    str | dict[str, Any] | None, Field(description="The configuration, as YAML text or as an object.")
]
StoredConfiguration = Annotated[
    str | None,
    Field(max_length=255, pattern=r"^[^/\\.\x00][^/\\\x00]*\.ya?ml$", description="A YAML file in the folder of runs."),
]
BudgetUsd = Annotated[
    float | None, Field(gt=0, le=10**6, description="Most that the run may cost, over all its sessions.")
]
Limit = Annotated[int | None, Field(ge=1, le=_LARGEST)]


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The folder of a job: its configuration, what it printed, and the files that it made."""

    path: Path

    @classmethod
    def of(cls, root: RunsRoot, number: int) -> "JobFolder":
        """The folder of the job with this id."""
        return cls(root.own_folder / "jobs" / str(number))

    @property
    def config(self) -> Path:
        """The configuration that it works with."""
        return self.path / "config.yaml"

    @property
    def output(self) -> Path:
        """The last of what it printed."""
        return self.path / "output.txt"

    @property
    def files(self) -> Path:
        """The folder of the files that it made, which may not be there."""
        return self.path / "files"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GenerateRequest(_Request):
    """Make the pairs of a run that are not made yet. Without a configuration, go on with the one that the run has."""

    verb: Literal["generate"]
    run: RunNameField
    configuration: Configuration = None
    stored_configuration: StoredConfiguration = None
    limit: Annotated[Limit, Field(description="Only the first so many tasks of the run.")] = None
    retry_failed: Annotated[bool, Field(description="Try failed tasks again.")] = False
    skip_bad_lines: Annotated[bool, Field(description="Skip rows that hold no task.")] = False
    accept_changes: Annotated[bool, Field(description="Go on with a configuration that changes the requests.")] = False
    reuse: Annotated[list[RunNameField], Field(max_length=20, description="Runs whose answers are reused.")] = []
    budget_usd: BudgetUsd = None
    no_budget: Annotated[bool, Field(description="Lift the run's budget.")] = False

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """The arguments of the command line."""
        yield from ("generate", str(folder.config), "--run", str(root.path / self.run))
        yield from _options(
            limit=self.limit,
            retry_failed=self.retry_failed,
            skip_bad_lines=self.skip_bad_lines,
            accept_changes=self.accept_changes,
            reuse=[str(root.path / one) for one in self.reuse],
            budget_usd=self.budget_usd,
            no_budget=self.no_budget,
        )


class AdviseRequest(_Request):
    """Compare winners with fresh answers of the target. The configuration, if any, overrides roles, such as the judge."""

    verb: Literal["advise"]
    run: RunNameField
    configuration: Configuration = None
    stored_configuration: StoredConfiguration = None
    recipe: Annotated[list[str], Field(max_length=50, description="Only these recipes.")] = []
    samples: Annotated[int, Field(ge=1, le=1000, description="Fresh answers for each winner.")] = 1
    limit: Annotated[Limit, Field(description="Only so many kept pairs a recipe, drawn uniformly.")] = None
    per_pair: Annotated[bool, Field(description="Keep the choice for each pair.")] = False
    budget_usd: BudgetUsd = None
    no_budget: Annotated[bool, Field(description="Lift the run's budget.")] = False

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """The arguments of the command line."""
        yield from ("advise", str(root.path / self.run))
        yield from _options(
            recipe=self.recipe,
            samples=None if self.samples == 1 else self.samples,
            limit=self.limit,
            config=None if self.configuration is None else str(folder.config),
            per_pair=self.per_pair,
            budget_usd=self.budget_usd,
            no_budget=self.no_budget,
        )


Request = GenerateRequest | AdviseRequest
JobRequest = Annotated[Request, Field(discriminator="verb")]
_REQUESTS: Final[TypeAdapter[Request]] = TypeAdapter(JobRequest)
ASKING: Final = ("generate", "advise")
"""Verbs that ask models, which the worker runs in its own process."""


def request_of(verb: str, arguments: Mapping[str, Any]) -> Request:
    """The request of a job that was submitted."""
    return _REQUESTS.validate_python({"verb": verb, **arguments})


def prepared(request: Request, root: RunsRoot) -> Request:
    """The request with its configuration read, checked and written out. Raises UserError for what can be seen to be wrong."""
    is_new = root.run(request.run) is None
    if isinstance(request, GenerateRequest):
        run = root.run_to_write(request.run)
        for other in request.reuse:
            _require_run(root, other)
    else:
        run = _require_run(root, request.run)
    if request.configuration is not None and request.stored_configuration is not None:
        raise InputError("give a configuration or the name of a stored one, not both")
    if request.stored_configuration is not None:
        config: RunConfig | None = load_config(_stored(root, request.stored_configuration))
    elif request.configuration is not None:
        given = request.configuration
        config = checked(given if isinstance(given, str) else json.dumps(given), root)
    elif isinstance(request, GenerateRequest):
        if is_new:
            raise InputError(f"{request.run} is a new run, which needs a configuration")
        config = load_config(run.config)
    else:
        config = None
    text = None if config is None else config_yaml(config)
    return request.model_copy(update={"configuration": text, "stored_configuration": None})


def checked(text: str, root: RunsRoot) -> RunConfig:
    """A configuration that was submitted, its paths counted from the root. Raises ConfigError."""
    return parse_config(text, "the configuration", root.path)


def arguments_of(request: Request) -> dict[str, Any]:
    """What is stored of a request, in JSON."""
    return request.model_dump(mode="json", exclude_defaults=True, exclude={"verb"})


def command_line(request: Request, root: RunsRoot, folder: JobFolder) -> str:
    """The command that does the same, quoted for a shell."""
    return shlex.join(["clairgen", *request.words(root, folder)])


def _options(**values: object) -> Iterator[str]:
    """Options of a command: a text or number with its name, a flag that is set, a list one by one; nothing for the rest."""
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, list) else [value]:
            if one is True:
                yield flag
            elif one is not None and one is not False:
                yield from (flag, f"{one:.15g}" if isinstance(one, float) else str(one))


def _require_run(root: RunsRoot, name: str) -> RunDirectory:
    if (found := root.run(name)) is None:
        raise InputError(f"there is no run {name}; see the list of runs")
    return found


def _stored(root: RunsRoot, name: str) -> Path:
    path = root.path / name
    if path.is_symlink() or not path.is_file():
        raise InputError(f"there is no configuration {name} in the folder of runs")
    return path
