"""`questions`: prompts whose answers are checked by a rule against a reference, several samples each if wanted.

questions = [CheckableQuestion("What is 7 + 5?", 12, rule="numeric", part="add")]
role = Role(model="student", endpoints=["gguf:student.gguf"], temperature=0, max_tokens=96)
result = await evaluate_questions(questions, role, "runs/evaluation", label="before")
result.overall.mean, result.overall.low, result.overall.high, result.overall.n
result.parts["add"].mean        # a share with its interval for each part
result.scores                   # {item id: 0.0 or 1.0}, in the order of the questions
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clairgen.config.role import Role
from clairgen.errors import ConfigError, InputError, RequestFailedError
from clairgen.evaluation.answer_rules import RULES_VERSION, Checked, rule_named
from clairgen.evaluation.evaluate import evaluate
from clairgen.evaluation.evaluator import Item, Scored
from clairgen.evaluation.planned_evaluation import EvaluateOptions, Evaluation
from clairgen.evaluation.results import EvaluationResult
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.inference.runtime import Runtime
from clairgen.long_texts import TOO_LONG, in_process, off_loop
from clairgen.pipeline.progress import Progress
from clairgen.recipes.recipe import Ask
from clairgen.records import Message
from clairgen.tasks import task_id_of

MOST_SAMPLES: Final = 1000
PATTERN_SECONDS: Final = 30.0
"""How long a pattern may be looked for in an answer; then the item fails as `too-long-to-measure`."""


@dataclass(frozen=True, slots=True)
class CheckableQuestion:
    """A prompt (a text, or a conversation that ends with the user) with what its answer is checked against.

    `reference` is the right answer, or a list of which any is right; the rule `classroom` needs none. `rule` is a name of
    `answer_rules.RULES`. `part` names a kind of question or a benchmark. `id` is the hash of the prompt where it is None.
    `tolerance` is how far a number may be off; where it is None, by a millionth of the reference.
    """

    prompt: str | tuple[Message, ...]
    reference: Any = None
    rule: str = "exact"
    part: str = ""
    id: str | None = None
    tolerance: float | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt as messages."""
        return (Message("user", self.prompt),) if isinstance(self.prompt, str) else self.prompt

    @property
    def error(self) -> str | None:
        """Why the question cannot be checked, as a part of a sentence; None if it can. InputError for an unknown rule."""
        if self.tolerance is not None and not 0 <= self.tolerance < float("inf"):
            return f"its tolerance {self.tolerance!r} is not a number of at least 0"
        return rule_named(self.rule).reference_error(self.messages[-1].content, self.reference)


class QuestionsEvaluator:
    """Asks the target and checks the answer: 1 if it is right, else 0."""

    kind = "questions"
    noun = "question"
    roles = ("target",)

    def __init__(self, samples: int = 1, pattern_seconds: float = PATTERN_SECONDS) -> None:
        self.settings: Mapping[str, Any] = {"version": RULES_VERSION, "samples": samples}
        self._pattern_seconds = pattern_seconds

    async def score(self, item: Item, ask: Ask) -> Scored:
        """See `Evaluator`."""
        answer = await ask("target", item.messages, sample=item.sample)
        given = item.reference
        arguments = (
            given["rule"],
            item.messages[-1].content,
            answer.text,
            given["reference"],
            given["tolerance"],
        )
        if given["rule"] != "regex":
            checked = await off_loop(_checked, *arguments)
        else:
            checked = await self._matched(*arguments)
        detail = {"rule": given["rule"], "reference": given["reference"], "found": checked.found}
        if finish_kind(answer.finish_reason) is FinishKind.LENGTH:
            detail["cut_off"] = True
        return Scored(float(checked.right), reason=checked.reason, detail=detail)

    async def _matched(self, *arguments: Any) -> Checked:  # noqa: ANN401 - those of `_checked`
        """A pattern of the data may take for ever over a short answer, and only a process can be stopped."""
        try:
            async with asyncio.timeout(self._pattern_seconds):
                return await in_process(_checked, *arguments)
        except TimeoutError as error:
            detail = f"the pattern was not found or excluded within {self._pattern_seconds:g} s; write a simpler one"
            raise RequestFailedError(TOO_LONG, detail) from error


def question_items(questions: Sequence[CheckableQuestion], samples: int = 1) -> list[Item]:
    """The items of questions, the samples of a question after each other.

    Raises InputError for a question that cannot be checked and for an id that two prompts have.
    """
    seen: Counter[str] = Counter()
    prompts: dict[str, str] = {}
    items = []
    for number, question in enumerate(questions, start=1):
        if error := question.error:
            raise InputError(f"question {number:,} cannot be checked: {error}")
        cluster = task_id_of(question.messages)
        name = question.id if question.id is not None else cluster
        if prompts.setdefault(name, cluster) != cluster:
            raise InputError(
                f"two different questions have the id {name!r}, the second is question {number:,}; ids must differ"
            )
        seen[name] += 1
        repeated = f"~{seen[name]}" if seen[name] > 1 else ""
        reference = {"rule": question.rule, "reference": question.reference, "tolerance": question.tolerance}
        items += [
            Item(
                f"{name}{repeated}{f'#{sample + 1}' if samples > 1 else ''}",
                question.messages,
                cluster,
                question.part,
                reference,
                sample,
            )
            for sample in range(samples)
        ]
    return items


def questions_evaluation(
    questions: Sequence[CheckableQuestion],
    target: Role,
    *,
    label: str,
    data: str = "questions",
    samples: int = 1,
    seed: int = 0,
) -> Evaluation:
    """The evaluation of a model on questions.

    Raises ConfigError for several samples at temperature 0, InputError as `question_items` does.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise ConfigError(f"{samples} samples a question cannot be asked for; give 1 to {MOST_SAMPLES:,}")
    if samples > 1 and target.temperature == 0:
        raise ConfigError("at temperature 0 all answers to a question are the same; ask for one sample, or raise it")
    items = question_items(questions, samples)
    return Evaluation(QuestionsEvaluator(samples), items, {"target": target}, label, data, seed)


async def evaluate_questions(
    questions: Sequence[CheckableQuestion],
    target: Role,
    run: Path | str,
    *,
    label: str,
    data: str = "questions",
    samples: int = 1,
    seed: int = 0,
    options: EvaluateOptions | None = None,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    runtime: Runtime | None = None,
) -> EvaluationResult:
    """Evaluate a model on questions whose answers can be checked; call it again at any time, and only the rest is asked.

    `target` is the model with its endpoints (a base URL, `gguf:PATH` or `classroom:student`, which are served meanwhile) and its
    sampling. `run` is the directory in which answers and scores are kept: several evaluations may share one, one at a time.
    `label` names the model in tables; `seed` draws the seeds of the requests.

    The result has `overall` (a `Share`: `n`, `mean`, `low` and `high` of the 95% interval, clustered by question), `parts` (the
    same by part) and `scores`, 0.0 or 1.0 by item id in the order of the questions. The id is the question's, or the hash of its
    prompt; with several samples `#1`, `#2` follow. Questions without an answer are in `unscored`, by reason, and not in
    `scores`. `compared(a, b)` of `clairgen.evaluation.results` gives the paired difference of two results.

    Raises UserError for what has to be corrected, and what stopped the evaluation before its end (RunStoppedError).
    """
    evaluation = questions_evaluation(questions, target, label=label, data=data, samples=samples, seed=seed)
    summary = await evaluate(evaluation, run, options, progress=progress, stop=stop, runtime=runtime)
    if summary.stopped_by is not None:
        raise summary.stopped_by
    return summary.result


def _checked(rule: str, prompt: str, answer: str, reference: Any, tolerance: float | None) -> Checked:  # noqa: ANN401
    return rule_named(rule).check(prompt, answer, reference, tolerance)
