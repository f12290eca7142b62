"""The requests for the verbs that ask no model, which run as commands; what they make lies in the folder of runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from clairgen.errors import InputError
from clairgen.exporting.columns import ExportFormat
from clairgen.exporting.shards import FileFormat
from clairgen.exporting.thoughts import Thinking
from clairgen.service.policy import Policy
from clairgen.service.request_models import (
    JobFolder,
    Name,
    Names,
    RequestModel,
    RunName,
    checked_name,
    existing_run,
    options,
    trained_model,
)
from clairgen.service.runs_root import EXPORTS, TRAINED, RunsRoot
from clairgen.service.submitted_config import PART

_Number = r"[0-9]{0,9}(?:\.[0-9]{0,9})?"
Bounds = Annotated[
    str | None, Field(pattern=rf"^-?{_Number}:-?{_Number}$", description="Lowest and highest value kept, as LOW:HIGH.")
]
Part = Annotated[
    str | None,
    Field(max_length=200, pattern=f"^{PART}$", description="The subset or split of a data set."),
]


class _OfRun(RequestModel):
    """A command on a run that is there."""

    run: RunName

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RequestModel`."""
        return (self.run,)

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        existing_run(policy, self.run)
        return self


class FilterRequest(_OfRun):
    """Change the filters of a run and apply them to all pairs again."""

    verb: Literal["filter"]
    length_ratio: Bounds = None
    length_difference: Bounds = None
    jaccard: Bounds = None
    levenshtein: Bounds = None
    drop: Annotated[Names, Field(description="Filters that drop pairs.")] = ()
    mark: Annotated[Names, Field(description="Filters that only mark pairs.")] = ()
    off: Annotated[Names, Field(description="Filters that are switched off.")] = ()
    recipe: Annotated[Names, Field(description="Change the filters of these recipes alone.")] = ()

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        del folder
        yield from ("filter", str(root.path / self.run))
        yield from options(**self.model_dump(exclude={"verb", "run"}))


class ReparseRequest(_OfRun):
    """Parse stored reviser answers again with this version's parser."""

    verb: Literal["reparse"]
    every: Annotated[bool, Field(description="Also answers that this version has parsed already.")] = False

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        del folder
        yield from ("reparse", str(root.path / self.run), *options(all=self.every))


class MigrateRequest(_OfRun):
    """Bring the database of a run up to this version's schema."""

    verb: Literal["migrate"]

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        del folder
        yield from ("migrate", str(root.path / self.run))


class ReportRequest(RequestModel):
    """Report on runs, or on trained models, as a page in one file."""

    verb: Literal["report"]
    runs: Annotated[tuple[RunName, ...], Field(max_length=20)] = ()
    trained: Annotated[tuple[Name, ...], Field(max_length=20, description="Names of trained models.")] = ()
    matched: Annotated[bool, Field(description="Count only the tasks of which every recipe has a kept pair.")] = False
    by: Annotated[str | None, Field(max_length=255, description="A column of imported pairs to report by.")] = None

    @property
    def works_on(self) -> str | None:
        """See `RequestModel`."""
        return self.needs[0] if self.needs else None

    @property
    def target(self) -> None:
        """See `RequestModel`."""
        return

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RequestModel`."""
        return (*self.runs, *(f"{TRAINED}/{name}" for name in self.trained))

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        if bool(self.runs) == bool(self.trained) or (self.trained and (self.matched or self.by)):
            raise InputError("a report is on runs, or on trained models alone; name some of one kind")
        for run in self.runs:
            existing_run(policy, run)
        for name in self.trained:
            trained_model(policy, name, "trained")
        return self

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield "report"
        yield from (str(root.path / run) for run in self.runs)
        yield from (str(root.path / TRAINED / name) for name in self.trained)
        html = folder.files / "report.html"
        yield from options(training=bool(self.trained), matched=self.matched, by=self.by, html=html)


class LintRequest(RequestModel):
    """Look for what is wrong with preference data: a run, or files in the folder of runs, the splits of one data set."""

    verb: Literal["lint"]
    sources: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10)]
    recipe: Annotated[str | None, Field(max_length=255, description="The recipe of a run that has several.")] = None
    subset: Part = None
    strict: Annotated[bool, Field(description="Exit with 1 for warnings too.")] = False

    @property
    def works_on(self) -> str | None:
        """See `RequestModel`."""
        return self.sources[0]

    @property
    def target(self) -> None:
        """See `RequestModel`."""
        return

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RequestModel`."""
        return self.sources

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        return self.model_copy(update={"sources": tuple(policy.source(one, "sources") for one in self.sources)})

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        del root
        yield from ("lint", *self.sources)
        html = folder.files / "lint.html"
        yield from options(recipe=self.recipe, subset=self.subset, strict=self.strict, html=html)


class ImportRequest(RequestModel):
    """Import pairs of a file, a folder or, where that is allowed, a data set of the hub into a run."""

    verb: Literal["import"]
    run: RunName
    source: Name
    name: Annotated[str, Field(min_length=1, max_length=100, description="What the pairs are called.")] = "imported"
    columns: Annotated[
        dict[Name, Name], Field(max_length=50, default_factory=dict, description="Which column has which role.")
    ]
    subset: Part = None
    split: Part = None

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        policy.root.run_to_write(self.run)
        return self.model_copy(update={"source": policy.source(self.source)})

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        del folder
        yield from ("import", self.source, "--run", str(root.path / self.run), f"--as={self.name}")
        columns = [f"{role}={name}" for role, name in self.columns.items()]
        yield from options(column=columns, subset=self.subset, split=self.split)


class ExportRequest(_OfRun):
    """Write the kept pairs as a data set, into the folder `exports/NAME`."""

    verb: Literal["export"]
    name: Annotated[str, Field(min_length=1, max_length=100, description="The name of the data set's folder.")]
    format: ExportFormat = ExportFormat.PREFERENCE
    recipe: Annotated[Names, Field(description="Only these recipes.")] = ()
    test_fraction: Annotated[float, Field(ge=0, le=0.999, description="Share of the tasks held out as test.")] = 0.0
    seed: Annotated[int, Field(ge=-(2**53), le=2**53)] = 0
    matched: Annotated[bool, Field(description="Only tasks whose pairs pass in all these recipes.")] = False
    keep_identical: bool = False
    balance_lengths: bool = False
    thinking: Thinking | None = None
    files: FileFormat = FileFormat.PARQUET
    overwrite: Annotated[bool, Field(description="Replace an earlier export of this name.")] = False

    @property
    def target(self) -> str:
        """See `RequestModel`."""
        return f"{EXPORTS}/{self.name}"

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        policy.root.new_path(f"{EXPORTS}/{checked_name(self.name)}", "name")
        return super().prepared(policy)

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("export", str(root.path / self.run), str(self.made(root, folder)), f"--format={self.format}")
        yield from options(**self.model_dump(exclude={"verb", "run", "name", "format"}))

    def made(self, root: RunsRoot, folder: JobFolder) -> Path:
        """See `RequestModel`."""
        del folder
        return root.path / EXPORTS / self.name
