"""The requests for evaluations: of models, by questions or beside an opponent, and of judges."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

import yaml
from pydantic import Field

from clairgen.config.strict_yaml import DUMPER
from clairgen.errors import InputError
from clairgen.service.policy import Policy
from clairgen.service.request_models import (
    LARGEST,
    BudgetUsd,
    Configuration,
    JobFolder,
    NoBudget,
    RequestModel,
    RunName,
    StoredConfiguration,
    existing_run,
    given_configuration,
    options,
)
from clairgen.service.runs_root import RunsRoot
from clairgen.service.submitted_config import checked_evaluation

FileName = Annotated[str, Field(min_length=1, max_length=2000)]
JudgeName = Annotated[str, Field(max_length=50, description="Which judge of the configuration, if it has several.")]
TemplateName = Annotated[
    str, Field(min_length=1, max_length=2000, description="The judge's prompt: the shipped one, or a file (.txt).")
]


class EvaluationRequest(RequestModel):
    """An evaluation with the models of a configuration, kept in the directory `run`."""

    files: ClassVar[tuple[str, ...]] = ()
    """Its fields that name a file."""

    run: RunName
    configuration: Configuration = None
    stored_configuration: StoredConfiguration = None
    label: Annotated[str | None, Field(max_length=200, description="What the evaluation is called.")] = None
    limit: Annotated[int | None, Field(ge=1, le=LARGEST, description="Only the first so many questions.")] = None
    retry_failed: Annotated[bool, Field(description="Try failed questions again.")] = False
    budget_usd: BudgetUsd = None
    no_budget: NoBudget = False

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        policy.root.run_to_write(self.run)
        given = given_configuration(policy, self.configuration, self.stored_configuration)
        if given is None:
            raise InputError("an evaluation needs a configuration, with the models that it asks")
        models = checked_evaluation(given, policy)
        text = yaml.dump(models.model_dump(mode="json", exclude_unset=True), Dumper=DUMPER, sort_keys=False)
        named = {name: str(policy.root.file(path, name)) for name in self.files if (path := getattr(self, name))}
        template = getattr(self, "template", "")
        if template.endswith(".txt"):
            named["template"] = str(policy.root.file(template, "template"))
        return self.model_copy(update={"configuration": text, "stored_configuration": None, **named})

    def _options(self, root: RunsRoot, folder: JobFolder, **more: object) -> Iterator[str]:
        yield f"--run={root.path / self.run}"
        common = ("label", "limit", "retry_failed", "budget_usd", "no_budget")
        yield from options(config=folder.config, **{name: getattr(self, name) for name in common}, **more)


class QuestionsRequest(EvaluationRequest):
    """Ask a model questions and check its answers by rules; `target` of the configuration is the model."""

    files: ClassVar = ("questions",)
    verb: Literal["evaluate questions"]
    questions: Annotated[FileName, Field(description="A file with right answers.")]
    rule: Annotated[str | None, Field(max_length=50, description="How rows without a rule are checked.")] = None
    samples: Annotated[int, Field(ge=1, le=1000, description="Answers a question.")] = 1
    skip_bad_lines: Annotated[bool, Field(description="Leave out rows that cannot be checked.")] = False

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("evaluate", "questions", self.questions)
        more = {"rule": self.rule, "samples": self.samples, "skip_bad_lines": self.skip_bad_lines}
        yield from self._options(root, folder, **more)


class PairwiseRequest(EvaluationRequest):
    """Compare answers with those of an opponent by a judge: `target`, `opponent` and `judge` of the configuration."""

    files: ClassVar = ("prompts", "answers", "opponent")
    verb: Literal["evaluate pairwise"]
    prompts: Annotated[FileName, Field(description="A file with prompts.")]
    answers: Annotated[FileName | None, Field(description="Recorded answers, in place of asking the target.")] = None
    opponent: Annotated[FileName | None, Field(description="Recorded answers of the opponent.")] = None
    judge: JudgeName = "judge"
    template: TemplateName = "judge"

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("evaluate", "pairwise", self.prompts)
        more = {"answers": self.answers, "opponent": self.opponent, "judge": self.judge, "template": self.template}
        yield from self._options(root, folder, **more)


class AlpacaRequest(EvaluationRequest):
    """Compare a model with AlpacaEval's reference outputs by a judge, and write its answers in the official form."""

    files: ClassVar = ("instructions", "answers")
    verb: Literal["evaluate alpaca"]
    instructions: Annotated[FileName, Field(description="A file with instructions and reference outputs.")]
    answers: Annotated[FileName | None, Field(description="Recorded answers, in place of asking the target.")] = None
    judge: JudgeName = "judge"
    template: TemplateName = "judge"

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("evaluate", "alpaca", self.instructions)
        more = {"answers": self.answers, "judge": self.judge, "template": self.template}
        yield from self._options(root, folder, **more, outputs=folder.files / "model_outputs.json")


class MixEvalHardRequest(EvaluationRequest):
    """Evaluate a model on your files of MixEval-Hard: `target` and `judge` of the configuration."""

    verb: Literal["evaluate mixeval-hard"]
    questions: Annotated[
        tuple[FileName, ...], Field(min_length=1, max_length=10, description="free-form.json and multiple-choice.json.")
    ]
    judge: JudgeName = "judge"
    judge_attempts: Annotated[int, Field(ge=1, le=100, description="How often an unreadable judge is asked.")] = 3

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        questions = tuple(str(policy.root.file(one, "questions")) for one in self.questions)
        return super().prepared(policy).model_copy(update={"questions": questions})

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("evaluate", "mixeval-hard", *self.questions)
        yield from self._options(root, folder, judge=self.judge, judge_attempts=self.judge_attempts)


class JudgeRequest(EvaluationRequest):
    """Measure a judge on pairs of which it is known which answer is better: a file, or a run that people voted on."""

    files: ClassVar = ("labelled",)
    verb: Literal["evaluate judge"]
    labelled: Annotated[FileName | None, Field(description="A file with labelled pairs.")] = None
    votes: Annotated[RunName | None, Field(description="A run with votes, in place of a file.")] = None
    judge: JudgeName = "judge"
    template: TemplateName = "judge"

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RequestModel`."""
        return () if self.votes is None else (self.votes,)

    def prepared(self, policy: Policy) -> Self:
        """See `RequestModel`."""
        if (self.labelled is None) == (self.votes is None):
            raise InputError("name what the judge is measured on: labelled, a file of pairs, or votes, a run")
        if self.votes is not None:
            existing_run(policy, self.votes)
        return super().prepared(policy)

    def words(self, root: RunsRoot, folder: JobFolder) -> Iterator[str]:
        """See `RequestModel`."""
        yield from ("evaluate", "judge", *([] if self.labelled is None else [self.labelled]))
        votes = None if self.votes is None else root.path / self.votes
        yield from self._options(root, folder, votes=votes, judge=self.judge, template=self.template)


AnyEvaluation = QuestionsRequest | PairwiseRequest | JudgeRequest | AlpacaRequest | MixEvalHardRequest
