"""What every request for a job has in common, and the requests for the verbs that work on pairs by asking models."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from clairgen.config.file import config_yaml
from clairgen.config.strict_yaml import read_text
from clairgen.errors import InputError
from clairgen.pipeline.generate import Options
from clairgen.service.policy import Policy
from clairgen.service.runs_root import TRAINED, NotPermittedError, RunsRoot, name_fault, shown
from clairgen.service.submitted_config import MOST_BYTES, checked
from clairgen.store import RunDirectory

LARGEST: Final = 2**53
"""Most of what a request counts."""
RunName = Annotated[str, Field(min_length=1, max_length=255, description="The name of the run's folder.")]
Configuration = Annotated[
    str | dict[str, Any] | None, Field(description="The configuration, as YAML text or as an object.")
]
StoredConfiguration = Annotated[
    str | None, Field(max_length=255, description="A YAML file in the folder of runs, in place of a configuration.")
]
BudgetUsd = Annotated[
    float | None, Field(gt=0, le=10**6, description="Most that the run may cost, over all its sessions.")
]
NoBudget = Annotated[bool, Field(description="Lift the run's budget.")]
Name = Annotated[str, Field(min_length=1, max_length=255)]
Names = Annotated[tuple[Name, ...], Field(max_length=50)]


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The folder of a job: its configuration, what it printed, and pages that it made."""

    path: Path

    @classmethod
    def of(cls, root: RunsRoot, number: int) -> "JobFolder":
        """The folder of the job with this id."""
        return cls(root.own_folder / "jobs" / str(number))

    @staticmethod
    def highest(root: RunsRoot) -> int:
        """The highest id that a job's folder has; 0 if there is none."""
        return max(
            (int(one.name) for one in (root.own_folder / "jobs").glob("[1-9]*") if one.name.isdecimal()), default=0
        )

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
        """The folder of the pages that it made, which may not be there."""
        return self.path / "files"


class RequestModel(BaseModel):
    """A request for a job: what is submitted, stored with the job, and done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def works_on(self) -> str | None:
        """The run that it works on, or another folder in the root."""
        return getattr(self, "run", None)

    @property
    def target(self) -> str | None:
        """The folder in the root that it writes, which one job at a time may do; None if it writes only files of the job."""
        return self.works_on

    @property
    def needs(self) -> tuple[str, ...]:
        """The runs, and other folders in the root, that have to be there when it begins."""
        return ()

    def prepared(self, policy: Policy) -> Self:
        """The request after all its names were checked, with a configuration written out.

        Raises UserError for what can be seen to be wrong. It reads the disk, and may be done again.
        """
        raise NotImplementedError

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """The arguments of the command line that does the same."""
        raise NotImplementedError

    def made(self, root: RunsRoot, folder: JobFolder) -> Path:
        """The folder of what it makes to be downloaded, which may not be there."""
        del root
        return folder.files


class GenerateRequest(RequestModel):
    """Make the pairs of a run that are not made yet. Without a configuration, go on with the one that the run has."""

    verb: Literal["generate"]
    run: RunName
    configuration: Configuration = None
    stored_configuration: StoredConfiguration = None
    limit: Annotated[int | None, Field(ge=1, le=LARGEST, description="Only the first so many tasks of the run.")] = None
    retry_failed: Annotated[bool, Field(description="Try failed tasks again.")] = False
    skip_bad_lines: Annotated[bool, Field(description="Skip rows that hold no task.")] = False
    accept_changes: Annotated[bool, Field(description="Go on with a configuration that changes the requests.")] = False
    no_copy: Annotated[bool, Field(description="Go on without the copy that the run has elsewhere.")] = False
    reuse: Annotated[tuple[RunName, ...], Field(max_length=20, description="Runs whose answers are reused.")] = ()
    detach: Annotated[
        bool, Field(description="End once all that is left waits in batches, in place of waiting for them.")
    ] = False
    budget_usd: BudgetUsd = None
    no_budget: NoBudget = False

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RequestModel`."""
        has_configuration = self.configuration is not None or self.stored_configuration is not None
        return self.reuse if has_configuration else (self.run, *self.reuse)

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        policy.root.run_to_write(self.run)
        for other in self.reuse:
            existing_run(policy, other)
        given = given_configuration(policy, self.configuration, self.stored_configuration)
        if given is None:
            run = existing_run(policy, self.run, "; a new run needs a configuration")
            if policy.is_coming(self.run):
                return self
            given = read_text(run.config)
        return self.model_copy(update=_written_out(policy, given))

    def session_options(self, root: RunsRoot, drain_seconds: float) -> Options:
        """What is done, as `generate` takes it."""
        return Options(
            limit=self.limit,
            retry_failed=self.retry_failed,
            skip_bad_lines=self.skip_bad_lines,
            accept_changes=self.accept_changes,
            no_copy=self.no_copy,
            reuse=tuple(root.path / one for one in self.reuse),
            drain_seconds=drain_seconds,
            budget_usd=self.budget_usd,
            no_budget=self.no_budget,
            detach=self.detach or "if-batches",
        )

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("generate", str(folder.config), "--run", str(root.path / self.run))
        yield from options(
            limit=self.limit,
            retry_failed=self.retry_failed,
            skip_bad_lines=self.skip_bad_lines,
            accept_changes=self.accept_changes,
            no_copy=self.no_copy,
            reuse=[root.path / one for one in self.reuse],
            detach=self.detach,
            budget_usd=self.budget_usd,
            no_budget=self.no_budget,
        )


class AdviseRequest(RequestModel):
    """Compare winners with fresh answers of the target. The configuration, if any, overrides roles, such as the judge."""

    verb: Literal["advise"]
    run: RunName
    configuration: Configuration = None
    stored_configuration: StoredConfiguration = None
    recipe: Annotated[Names, Field(description="Only these recipes.")] = ()
    samples: Annotated[int, Field(ge=1, le=1000, description="Fresh answers for each winner.")] = 1
    limit: Annotated[
        int | None, Field(ge=1, le=LARGEST, description="Only so many kept pairs a recipe, drawn uniformly.")
    ] = None
    per_pair: Annotated[bool, Field(description="Keep the choice for each pair.")] = False
    budget_usd: BudgetUsd = None
    no_budget: NoBudget = False

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RequestModel`."""
        return (self.run,)

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        run = existing_run(policy, self.run)
        given = given_configuration(policy, self.configuration, self.stored_configuration)
        if not policy.is_coming(self.run):
            checked(read_text(run.config), policy)  # its other roles are used
        return self if given is None else self.model_copy(update=_written_out(policy, given))

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("advise", str(root.path / self.run))
        yield from options(
            recipe=self.recipe,
            samples=self.samples,
            limit=self.limit,
            config=None if self.configuration is None else folder.config,
            per_pair=self.per_pair,
            budget_usd=self.budget_usd,
            no_budget=self.no_budget,
        )


def options(**values: object) -> Iterator[str]:
    """Options of a command: a text or number after its name, a flag that is set, a list one by one; nothing for the rest."""
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is True:
                yield flag
            elif one is not None and one is not False:
                yield f"{flag}={one:.15g}" if isinstance(one, float) else f"{flag}={one}"


def checked_name(name: str) -> str:
    """The name of a folder for what a job makes. Raises InputError."""
    if (fault := name_fault(name)) is not None:
        raise InputError(f"the name {fault}")
    return name


def existing_run(policy: Policy, name: str, more: str = "") -> RunDirectory:
    """A run that is there, or that a job will make. Raises InputError."""
    if policy.is_coming(name):
        return policy.root.run_to_write(name)
    if (found := policy.root.run(name)) is None:
        raise InputError(f"there is no run {shown(name)}{more}; see the list of runs")
    return found


def trained_model(policy: Policy, name: str, what: str) -> None:
    """Raise UserError where there is no trained model of this name, and no job that will make one."""
    path = f"{TRAINED}/{checked_name(name)}"
    if not policy.is_coming(path):
        policy.root.folder(path, what)


def given_configuration(
    policy: Policy, configuration: str | dict[str, Any] | None, stored: str | None
) -> str | dict[str, Any] | None:
    """The configuration of a request; None if it has none."""
    if stored is None:
        return configuration
    if configuration is not None:
        raise InputError("give a configuration or the name of a stored one, not both")
    path = policy.root.file(stored, "stored_configuration")
    if path.stat().st_size > MOST_BYTES:
        raise NotPermittedError(f"stored_configuration: {shown(stored)} has more than {MOST_BYTES:,} bytes")
    return read_text(path)


def _written_out(policy: Policy, given: str | dict[str, Any]) -> dict[str, Any]:
    return {"configuration": config_yaml(checked(given, policy)), "stored_configuration": None}
