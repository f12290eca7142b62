"""What says whether a round gained: held-out questions with right answers, or held-out prompts over which a judge compares.

Questions give a gain in shares of right answers, paired by question. Prompts give the share of a model's answers that a judge
prefers to those of the model that it was trained from, less one half.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from clairgen.config.models import RunConfig
from clairgen.config.role import Role
from clairgen.errors import InputError
from clairgen.evaluation.checkable_questions import CheckableQuestion, questions_evaluation
from clairgen.evaluation.judged_pairs import Opponent, comparison
from clairgen.evaluation.planned_evaluation import Evaluation
from clairgen.evaluation.recorded_outputs import PromptRow
from clairgen.evaluation.results import EvaluationResult, compared
from clairgen.iteration.lineage import Gain, Score
from clairgen.records import Message
from clairgen.reporting.sanitize import shortened
from clairgen.tasks import Row, read_tasks, task_id_of
from clairgen.wording import counted


class HeldOut(Protocol):
    """Prompts that no round trains on, and how answers to them are scored."""

    @property
    def conversations(self) -> Sequence[Sequence[Message]]:
        """The prompts."""

    def evaluation(self, target: Role, label: str, seed: int, parent: EvaluationResult | None) -> Evaluation:
        """The evaluation of a model; `parent` is that of the model that it was trained from, None for the first one."""

    def score(self, result: EvaluationResult, parent: EvaluationResult | None) -> Score:
        """What the model reached."""

    def gain(self, result: EvaluationResult, parent: EvaluationResult) -> Gain:
        """What it gained over the model that it was trained from."""


@dataclass(frozen=True, slots=True)
class HeldOutQuestions:
    """Questions whose answers are checked by rules, `samples` answers each; `name` is that of their file."""

    name: str
    questions: Sequence[CheckableQuestion]
    samples: int = 1

    @property
    def conversations(self) -> Sequence[Sequence[Message]]:
        """See `HeldOut`."""
        return [question.messages for question in self.questions]

    def evaluation(self, target: Role, label: str, seed: int, parent: EvaluationResult | None) -> Evaluation:
        """See `HeldOut`."""
        return questions_evaluation(
            self.questions, target, label=label, data=self.name, samples=self.samples, seed=seed
        )

    def score(self, result: EvaluationResult, parent: EvaluationResult | None) -> Score:
        """The share of right answers."""
        return _score(result)

    def gain(self, result: EvaluationResult, parent: EvaluationResult) -> Gain:
        """The paired difference of shares."""
        found = compared(parent, result).overall
        return Gain(found.n, found.mean, found.low, found.high)


@dataclass(frozen=True, slots=True)
class HeldOutPrompts:
    """Prompts over which a judge compares a model's answers with those of the model that it was trained from."""

    name: str
    prompts: Sequence[PromptRow]
    judge: Role

    @property
    def conversations(self) -> Sequence[Sequence[Message]]:
        """See `HeldOut`."""
        return [prompt.task.messages for prompt in self.prompts]

    def evaluation(self, target: Role, label: str, seed: int, parent: EvaluationResult | None) -> Evaluation:
        """See `HeldOut`. The first model is compared with itself, which asks for its answers and for no judgement.

        Prompts that the parent did not answer are left out.
        """
        prompts, against = self.prompts, Opponent(label, role=target)
        if parent is not None:
            answers = {item.cluster: str(item.detail["answer"]) for item in parent.items if "answer" in item.detail}
            prompts = [prompt for prompt in prompts if task_id_of(prompt.task.messages) in answers]
            against = Opponent(
                parent.record.id, answers=[answers[task_id_of(prompt.task.messages)] for prompt in prompts]
            )
        return comparison("pairwise", prompts, target, against, self.judge, label=label, data=self.name, seed=seed)

    def score(self, result: EvaluationResult, parent: EvaluationResult | None) -> Score:
        """The share of answers that the judge prefers; none for the first model."""
        found = _score(result)
        return found if parent is not None else Score(found.evaluation, 0, None, None, None, found.unscored)

    def gain(self, result: EvaluationResult, parent: EvaluationResult) -> Gain:
        """That share, less one half."""
        overall = result.overall
        if overall.mean is None or overall.low is None or overall.high is None:
            return Gain(0, None, None, None)
        return Gain(overall.n, overall.mean - 0.5, overall.low - 0.5, overall.high - 0.5)


def held_out_facts(held_out: HeldOut, config: RunConfig) -> dict[str, Any]:
    """What scores rest on, besides the models that are evaluated: prompts, rules, and the judge."""
    target = config.models["target"]
    settings = held_out.evaluation(target, "", config.seed, None).record().settings
    judge = {role: facts for role, facts in settings["models"].items() if role == "judge"}
    return {"kind": settings["kind"], "data": settings["data"], "rules": settings["rules"], **judge}


def require_apart(config: RunConfig, held_out: HeldOut) -> None:
    """Raise InputError where models would be evaluated on prompts that are among the tasks that they are trained on.

    Prompts that differ in case, spaces, or forms of a character alone are the same here.
    """
    asked = {_folded(messages): messages for messages in held_out.conversations}
    rows = (row for row in read_tasks(config.task_source, config.seed) if isinstance(row, Row))
    found = dict.fromkeys(name for row in rows if (name := _folded(row.task.messages)) in asked)
    if found:
        first = asked[next(iter(found))][-1].content
        raise InputError(
            f"{len(found):,} of {counted(len(asked), 'held-out prompt')} {'is' if len(found) == 1 else 'are'} among the tasks "
            f"that are trained on, so the gain says little; take them out of one of the two, the first is {shortened(first)!r}"
        )


def _folded(messages: Sequence[Message]) -> str:
    """What is equal for conversations that a reader takes for the same."""
    folded = [
        replace(each, content=" ".join(unicodedata.normalize("NFKC", each.content).casefold().split()))
        for each in messages
    ]
    return task_id_of(tuple(folded))


def _score(result: EvaluationResult) -> Score:
    overall = result.overall
    unscored = sum(result.unscored.values())
    return Score(result.record.id, overall.n, overall.mean, overall.low, overall.high, unscored)
