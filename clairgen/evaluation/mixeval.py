"""MixEval-Hard: a model answers the questions, and a judge grades free-form answers or reads which option was chosen.

The protocol is that of Ni et al. (2024), which the paper follows: no system message, the judge sees the question without its
context, and the score is the mean over all rows. The prompts are our own (`prompts/mixeval`), so a score is to be compared with
published ones only where the user's own templates hold the texts that those were made with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.evaluation.evaluator import Item, ItemStatus, NotingAsk, Scored
from clairgen.evaluation.mixeval_judge import MIXEVAL_RULES_VERSION, Choice, Grade, parse_choice, parse_grade
from clairgen.evaluation.mixeval_questions import MixEvalQuestion, Split, letter
from clairgen.evaluation.planned_evaluation import Evaluation
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.recipes.recipe import Ask, as_user
from clairgen.templates import Template, load_template

MIXEVAL_HARD: Final = "mixeval-hard"
"""The kind of these evaluations."""
JUDGE_ATTEMPTS: Final = 3
"""How often a judge is asked before its reply counts as unreadable; upstream asks ten times."""
NO_SUCH_OPTION: Final = "no-such-option"
"""The reason of a score of zero for an answer in which the judge reads no option of the question."""
_SLOTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "free-form": frozenset({"question"}),
        "free-form-steps": frozenset({"question"}),
        "multiple-choice": frozenset({"question", "options"}),
        "judge-free-form": frozenset({"question", "targets", "answer"}),
        "judge-multiple-choice": frozenset({"question", "options", "answer"}),
    }
)


def mixeval_templates(folder: Path | None = None) -> dict[str, Template]:
    """The five templates by name; those that `folder` has as NAME.txt in place of the shipped ones.

    Raises ConfigError for a folder that is none or has no such file, an unreadable file and slots that are missing or unknown.
    """
    own = [] if folder is None else [name for name in _SLOTS if (folder / f"{name}.txt").exists()]
    if folder is not None and not own:
        names = ", ".join(f"{name}.txt" for name in _SLOTS)
        raise ConfigError(f"there is no template of MixEval-Hard in {folder}; it needs at least one of {names}")
    templates = {}
    for name, slots in _SLOTS.items():
        if name in own:
            templates[name] = load_template(f"{name}.txt", slots, folder)
        else:
            text = resources.files("clairgen.prompts").joinpath("mixeval", f"{name}.txt").read_text(encoding="utf-8")
            templates[name] = Template(f"mixeval/{name}", text)
    return templates


def mixeval_evaluation(
    questions: Sequence[MixEvalQuestion],
    roles: Mapping[str, Role],
    *,
    label: str,
    data: str = "questions",
    templates: Mapping[str, Template] | None = None,
    attempts: int = JUDGE_ATTEMPTS,
    seed: int = 0,
) -> Evaluation:
    """The evaluation of `roles["target"]` on questions, with `roles["judge"]` as the judge of its answers.

    A judge at temperature 0 would repeat an unreadable reply, so it is asked once.
    """
    templates = templates or mixeval_templates()
    judge = roles.get("judge")
    evaluator = MixEvalHard(templates, 1 if judge is not None and judge.temperature == 0 else attempts)
    items = mixeval_items(questions, templates)
    return Evaluation(evaluator, items, roles, label, data, seed, list(templates.values()))


def mixeval_items(questions: Sequence[MixEvalQuestion], templates: Mapping[str, Template]) -> list[Item]:
    """The questions as items; the parts are the benchmarks, and the id begins with the split."""
    return [
        Item(
            question.id,
            as_user(_prompt(question, templates)),
            question.cluster,
            question.benchmark,
            {
                "question": question.prompt,
                "targets": list(question.targets),
                "options": list(question.options),
                "right": question.right,
            },
        )
        for question in questions
    ]


def split_of(item_id: str) -> Split:
    """The split of an item of `mixeval_items`, by its id."""
    return Split(item_id.partition("/")[0])


@dataclass(frozen=True, slots=True)
class MixEvalHard:
    """The evaluator of MixEval-Hard; `attempts` is how often the judge is asked before its reply counts as unreadable."""

    templates: Mapping[str, Template]
    attempts: int = JUDGE_ATTEMPTS

    @property
    def kind(self) -> str:
        """See `Evaluator`."""
        return MIXEVAL_HARD

    @property
    def noun(self) -> str:
        """See `Evaluator`."""
        return "question"

    @property
    def settings(self) -> Mapping[str, Any]:
        """See `Evaluator`."""
        return {
            "version": MIXEVAL_RULES_VERSION,
            "attempts": self.attempts,
            "judge_templates": {
                name: self.templates[name].content_hash for name in _SLOTS if name.startswith("judge-")
            },
        }

    @property
    def roles(self) -> Sequence[str]:
        """See `Evaluator`."""
        return ("target", "judge")

    async def score(self, item: Item, ask: Ask) -> Scored:
        """See `Evaluator`.

        The detail says whether the answer was cut off, how often the judge was asked, the letter that it read, and whether its
        reply has `several` values, of which the first counts, as upstream; and what its server called it, as `served`.
        """
        split, reference = split_of(item.id), item.reference
        answer = await ask("target", item.messages)
        template = self.templates[f"judge-{split}"]
        prompt = template.fill(question=reference["question"], answer=answer.text, **_shown(split, reference))
        is_cut_off = finish_kind(answer.finish_reason) is FinishKind.LENGTH
        detail: dict[str, Any] = {"cut_off": is_cut_off, "reference": _right_answers(split, reference)}
        found: Grade | Choice
        noting = NotingAsk(ask)
        for attempt in range(self.attempts):
            reply = await noting("judge", as_user(prompt), sample=attempt, template=template)
            found = parse_grade(reply.text) if split is Split.FREE_FORM else parse_choice(reply.text)
            detail["attempts"] = attempt + 1
            if found.unreadable is None:
                break
        detail["served"] = noting.served
        return _scored(found, reference, detail)


def _scored(found: Grade | Choice, reference: Mapping[str, Any], detail: dict[str, Any]) -> Scored:
    options = len(reference["options"])
    if found.unreadable is not None:
        return Scored(None, ItemStatus.UNREADABLE, found.unreadable.value, detail | {"options": options})
    detail |= {"several": found.several}
    if isinstance(found, Grade):
        return Scored(found.value, detail=detail)
    is_option = found.letter in [letter(position) for position in range(options)]
    is_right = found.letter == letter(reference["right"])
    reason = None if is_option else NO_SUCH_OPTION
    return Scored(float(is_right), reason=reason, detail=detail | {"letter": found.letter})


def _prompt(question: MixEvalQuestion, templates: Mapping[str, Template]) -> str:
    if question.split is Split.MULTIPLE_CHOICE:
        return templates["multiple-choice"].fill(question=question.text, options=question.lettered_options)
    return templates["free-form-steps" if question.needs_steps else "free-form"].fill(question=question.text)


def _right_answers(split: Split, reference: Mapping[str, Any]) -> list[str]:
    if split is Split.FREE_FORM:
        return list(reference["targets"])
    right: int = reference["right"]
    return [f"{letter(right)}. {reference['options'][right]}"]


def _shown(split: Split, reference: Mapping[str, Any]) -> dict[str, str]:
    """What the judge is shown beside question and answer, by slot."""
    if split is Split.FREE_FORM:
        return {"targets": "\n".join(f"- {target}" for target in reference["targets"])}
    return {"options": "\n".join(f"{letter(number)}. {option}" for number, option in enumerate(reference["options"]))}
