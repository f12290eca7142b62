"""`pairwise`, `alpaca` and `judge`: two answers to a prompt, shown to a judge in both orders.

The score is the share of the two verdicts that prefer the first of the answers, a declared tie counting half. The first is that
of the model that is evaluated; where a judge is measured, it is the one that is known to be better.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clairgen.config.models import RecipeChoice
from clairgen.config.role import Role
from clairgen.errors import InputError
from clairgen.evaluation.evaluator import Item, ItemStatus, NotingAsk, Scored
from clairgen.evaluation.labelled_pairs import LabelledPairs
from clairgen.evaluation.planned_evaluation import Evaluation
from clairgen.evaluation.recorded_outputs import PromptRow, RecordedOutputs
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.parsing.verdict import VERDICT_PARSER_VERSION
from clairgen.recipes.judge import JUDGE_SLOTS, judged
from clairgen.recipes.recipe import Ask, RecipeContext, answer_of
from clairgen.records import Answer, Judgement, ParseStatus, Task
from clairgen.tasks import task_id_of
from clairgen.templates import Template, load_template, transcript

SCORING_VERSION: Final = 1
"""Raised with every change that can give another score to the same verdicts."""
SAME_TEXT: Final = "same-text"
"""Why an item is a tie without a judge: both answers are the same text."""
PAIR_KINDS: Final = frozenset({"pairwise", "alpaca", "judge"})
"""The kinds of evaluations whose items are pairs of answers."""
_JUDGE: Final = "judge"


@dataclass(frozen=True, slots=True)
class Opponent:
    """What a model is compared with: another model, or recorded answers, one for each prompt."""

    name: str
    role: Role | None = None
    answers: Sequence[str] | None = None


class PairsEvaluator:
    """Has a judge compare two answers: `answers` of the model by item, where they are recorded, and those of its opponent.

    What is not recorded is asked of the roles `target` and `opponent`.
    """

    noun = "comparison"

    def __init__(
        self, kind: str, template: Template, asked: Sequence[str] = (), answers: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self.roles: Sequence[str] = (*asked, _JUDGE)
        self.settings: Mapping[str, Any] = {
            "version": SCORING_VERSION,
            "verdict_parser": VERDICT_PARSER_VERSION,
            "template": template.content_hash,
        }
        self._answers = answers or {}
        choice = RecipeChoice(name=kind, order="both")
        self._context = RecipeContext(choice, {_JUDGE: template}, (_JUDGE,), seed=0)

    async def score(self, item: Item, ask: Ask) -> Scored:
        """See `Evaluator`."""
        answer = await self._answer("target", item, self._answers.get(item.id, item.reference.get("answer")), ask)
        opponent = await self._answer("opponent", item, item.reference.get("opponent"), ask)
        detail = {
            "prompt": transcript(item.messages),
            "answer": answer.text,
            "opponent": opponent.text,
            "cut_off": [name for name, one in (("answer", answer), ("opponent", opponent)) if _is_cut_off(one)],
            "difficulty": item.reference.get("difficulty"),
            "row": item.reference.get("row"),
            "verdicts": [],
        }
        if answer.text.strip() == opponent.text.strip():
            return Scored(0.5, reason=SAME_TEXT, detail=detail)
        noting = NotingAsk(ask)
        outcome = await judged(Task(item.id, item.messages), self.kind, (answer, opponent), noting, self._context)
        detail["served"] = noting.served
        detail["verdicts"] = [
            {
                "first": "answer" if one.shown_first == 1 else "opponent",
                "choice": one.choice,
                "status": one.status.value,
            }
            for one in outcome.judgements
        ]
        return _scored(outcome.judgements, detail)

    async def _answer(self, role: str, item: Item, recorded: str | None, ask: Ask) -> Answer:
        if recorded is not None:
            return Answer(recorded, "stop", key="", model="recorded")
        return answer_of(await ask(role, item.messages, sample=item.sample))


def comparison(
    kind: str,
    prompts: Sequence[PromptRow],
    model: Role | RecordedOutputs,
    opponent: Opponent,
    judge: Role,
    *,
    label: str,
    data: str,
    seed: int = 0,
    difficulties: Sequence[float] | None = None,
    template: str = _JUDGE,
) -> Evaluation:
    """A model, or its recorded answers, against an opponent over prompts, by one judge, whose prompt is `template`.

    Raises InputError for a prompt that has no recorded answer, ConfigError for a template that does not fit.
    """
    prompt_of_judge = load_template(template, JUDGE_SLOTS)
    ids = _item_ids([prompt.task.id for prompt in prompts])
    items = [
        Item(
            name,
            prompt.task.messages,
            task_id_of(prompt.task.messages),
            prompt.part,
            {
                "opponent": None if opponent.answers is None else opponent.answers[number],
                "difficulty": None if difficulties is None else difficulties[number],
            },
        )
        for number, (name, prompt) in enumerate(zip(ids, prompts, strict=True))
    ]
    roles = {_JUDGE: judge}
    subject: dict[str, Any] = {}
    answers: Mapping[str, str] = {}
    if isinstance(model, RecordedOutputs):
        answers = dict(zip(ids, model.to(prompts), strict=True))
        subject = {"recorded answers": model.content_hash, "model": model.model}
    else:
        roles["target"] = model
    if opponent.role is not None:
        roles["opponent"] = opponent.role
    subject["opponent"] = opponent.name
    asked = [name for name in ("target", "opponent") if name in roles]
    evaluator = PairsEvaluator(kind, prompt_of_judge, asked, answers)
    return Evaluation(evaluator, items, roles, label, data, seed, (prompt_of_judge,), subject)


def judge_evaluation(
    labelled: LabelledPairs, judge: Role, *, label: str, data: str, seed: int = 0, template: str = _JUDGE
) -> Evaluation:
    """A judge on labelled pairs, asked by `template`: the score of an item is how much of its two verdicts is right.

    Raises ConfigError for a template that does not fit.
    """
    prompt_of_judge = load_template(template, JUDGE_SLOTS)
    ids = _item_ids([pair.row for pair in labelled.pairs])
    items = [
        Item(
            name,
            pair.task.messages,
            task_id_of(pair.task.messages),
            pair.part,
            {"answer": pair.better, "opponent": pair.worse, "row": pair.row},
        )
        for name, pair in zip(ids, labelled.pairs, strict=True)
    ]
    left_out = {reason.value: count for reason, count in sorted(labelled.left_out.items())}
    evaluator = PairsEvaluator("judge", prompt_of_judge)
    return Evaluation(evaluator, items, {_JUDGE: judge}, label, data, seed, (prompt_of_judge,), {"left out": left_out})


def given_difficulties(prompts: Sequence[PromptRow], column: str = "instruction_difficulty") -> list[float] | None:
    """The difficulties of instructions, as a column gives them; None without the column. InputError where only some have one."""
    cells = [prompt.cells.get(column) for prompt in prompts]
    if all(cell in (None, "") for cell in cells):
        return None
    found = []
    for prompt, cell in zip(prompts, cells, strict=True):
        try:
            number = float("" if cell is None else cell)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(
                f"`{column}` of {prompt.where} is not a number; give one for every prompt, or drop the column"
            )
        found.append(number)
    return found


def _scored(judgements: Sequence[Judgement], detail: Mapping[str, Any]) -> Scored:
    """The mean of the verdicts, or the reason why one of them cannot be read."""
    values = []
    for one in judgements:
        if one.status is ParseStatus.DECLARED_TIE:
            values.append(0.5)
        elif one.winner is None:
            return Scored(None, ItemStatus.UNREADABLE, one.status.value, detail)
        else:
            values.append(float(one.winner == 1))
    reason = None
    if ParseStatus.DECLARED_TIE in {one.status for one in judgements}:
        reason = ParseStatus.DECLARED_TIE.value
    elif len(set(values)) > 1:
        reason = ParseStatus.TIE_BETWEEN_ORDERS.value
    return Scored(sum(values) / len(values), reason=reason, detail=detail)


def _is_cut_off(answer: Answer) -> bool:
    return finish_kind(answer.finish_reason) is FinishKind.LENGTH


def _item_ids(names: Sequence[str]) -> list[str]:
    """Unique ids: a name that comes again gets `~2`, `~3`."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}~{seen[name]}")
    return found
