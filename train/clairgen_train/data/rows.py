"""A row of a data set, in any of the usual shapes: a pair of answers to one prompt, or a single answer."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from clairgen.conversations import unsupported_column
from clairgen.errors import InputError
from clairgen.pair_cells import (
    THOUGHTS,
    Messages,
    ThinkingPolicy,
    conversation,
    last_answer,
    message_of,
    parsed_cells,
    read_pair,
    unused_fields,
)
from clairgen_train.settings import Objective

SHAPES = {
    "messages": "prompt, chosen and rejected as messages",
    "whole conversations": "chosen and rejected as whole conversations, split into prompt and answer",
    "text": "plain text, taken as one user message and one assistant answer",
    "labeled answers": "single answers with a label",
    "answers": "single answers",
    "conversations": "conversations, of which the last answer is trained on",
}
"""The shapes of a row, by name, each with a description for the user; the first needs no conversion."""

_FIXED_OPTIONS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "max_length",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "truncation",
    }
)
"""Of `apply_chat_template`: what is no option of a template."""


SINGLE_ANSWERS = frozenset({"labeled answers", "answers", "conversations"})
"""The shapes of rows with one answer."""


class RowKind(StrEnum):
    """What the rows of a data set hold, by their columns; the value names it for the user."""

    PAIRS = "pairs of answers"
    LABELED = "single answers with a label"
    ANSWERS = "single answers"

    def objectives(self) -> list[Objective]:
        """The objectives that rows of this kind can be trained with."""
        if self is RowKind.PAIRS:
            return list(Objective)
        return [Objective.SFT] if self is RowKind.ANSWERS else [each for each in Objective if not each.is_paired]


def row_kind(columns: Collection[str], data: str) -> RowKind:
    """The kind of a data set's rows. Raises InputError, which names the columns that are missing."""
    if {"chosen", "rejected"} <= set(columns):
        return RowKind.PAIRS
    if half := {"chosen", "rejected"} & set(columns):
        missing = ({"chosen", "rejected"} - half).pop()
        raise InputError(f"{data} has no column {missing}; it has {', '.join(sorted(columns))}")
    if "completion" in columns and "messages" in columns:
        raise InputError(
            f"{data} has the columns completion and messages, either of which may be the answer; remove one"
        )
    if "completion" in columns:
        return RowKind.LABELED if "label" in columns else RowKind.ANSWERS
    if "messages" in columns:
        return RowKind.ANSWERS
    raise InputError(
        f"{data} has the columns {', '.join(sorted(columns)) or 'none'}; pairs need prompt, chosen and rejected, single answers "
        "prompt and completion (with label for KTO), or messages"
    )


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """What one row trains on: the prompt's messages and the text of both answers.

    A single answer has no `rejected`, and `label` says whether it is desirable, where the data does. `objective`, `weight` and
    `margin` (as it stands there) are the row's own, where the data has those columns; `shape` is a key of SHAPES.
    `template_options` are for the chat template, from the column `chat_template_kwargs`; `unused_fields` names what messages hold
    beside role and content. Thoughts are empty where there are none, or where they are not kept; a message of the prompt has them
    under the key THOUGHTS.
    """

    pair_id: str
    prompt: Messages
    chosen: str
    rejected: str | None
    shape: str
    objective: Objective | None = None
    weight: float = 1.0
    margin: float = 0.0
    label: bool | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    unused_fields: frozenset[str] = frozenset()
    chosen_thoughts: str = ""
    rejected_thoughts: str = ""

    @property
    def is_identical(self) -> bool:
        """Whether it is a pair whose two answers, and their thoughts, are equal except for leading and trailing whitespace."""
        same_thoughts = self.chosen_thoughts.strip() == self.rejected_thoughts.strip()
        return self.rejected is not None and self.chosen.strip() == self.rejected.strip() and same_thoughts

    @property
    def answers(self) -> list[dict[str, str]]:
        """The messages of its answers, chosen first, each with its thoughts where there are any."""
        pairs = [(self.chosen, self.chosen_thoughts)]
        pairs += [] if self.rejected is None else [(self.rejected, self.rejected_thoughts)]
        return [message_of("assistant", text, thoughts) for text, thoughts in pairs]


def pair_row(
    row: Mapping[str, Any],
    number: int,
    *,
    own_objective: bool = True,
    own_margin: bool = True,
    thinking: ThinkingPolicy = ThinkingPolicy.REFUSE,
) -> TrainingRow:
    """Read row `number` of a data set, its columns `objective` and `margin` only with `own_objective` and `own_margin`.

    Raises InputError, one sentence, for a row that is not a pair.
    """
    where = f"row {number:,} of the data set"
    lost = unsupported_column(row)
    if lost:
        raise InputError(f"{where} {lost}; fix or remove that row")
    pair = read_pair(row, where, thinking)
    thoughts = (pair.chosen_thoughts, pair.rejected_thoughts)
    return TrainingRow(
        pair_id=str(row.get("pair_id") or _row_hash(pair.prompt, pair.chosen, pair.rejected, *filter(None, thoughts))),
        prompt=pair.prompt,
        chosen=pair.chosen,
        rejected=pair.rejected,
        shape=pair.shape,
        objective=_objective(row.get("objective"), where) if own_objective else None,
        weight=_weight(row, where),
        margin=_number(row, "margin", where, "0 asks for none") if own_margin and "margin" in row else 0.0,
        template_options=_template_options(row.get("chat_template_kwargs"), where),
        unused_fields=pair.unused_fields,
        chosen_thoughts=thoughts[0],
        rejected_thoughts=thoughts[1],
    )


def answer_row(row: Mapping[str, Any], number: int, *, thinking: ThinkingPolicy = ThinkingPolicy.REFUSE) -> TrainingRow:
    """Read row `number` of a data set of single answers. Raises InputError, one sentence, for a row that is not one."""
    where = f"row {number:,} of the data set"
    lost = unsupported_column(row)
    if lost:
        raise InputError(f"{where} {lost}; fix or remove that row")
    if "completion" in row:
        prompt, answer, thoughts, given = _prompt_and_completion(row, where, thinking)
        shape = "labeled answers" if "label" in row else "answers"
    else:
        messages = parsed_cells({"messages": row.get("messages")}, where)["messages"]
        whole = conversation(messages, f"`messages` in {where}", thinking)
        if not whole:
            raise InputError(f"{where} has no `messages`; fix or remove that row")
        prompt, answer, shape = whole[:-1], last_answer(whole, f"`messages` in {where}"), "conversations"
        given, thoughts = [messages], whole[-1].get(THOUGHTS, "")
    if not any(message["role"] == "user" for message in prompt):
        raise InputError(f"the prompt in {where} has no user message; fix or remove that row")
    return TrainingRow(
        pair_id=str(row.get("pair_id") or _row_hash(prompt, answer, *filter(None, [thoughts]))),
        prompt=prompt,
        chosen=answer,
        rejected=None,
        shape=shape,
        weight=_weight(row, where),
        template_options=_template_options(row.get("chat_template_kwargs"), where),
        unused_fields=unused_fields(*given, thinking=thinking),
        chosen_thoughts=thoughts,
        label=_label(row["label"], where) if shape == "labeled answers" else None,
    )


def _prompt_and_completion(
    row: Mapping[str, Any], where: str, thinking: ThinkingPolicy
) -> tuple[Messages, str, str, list[Any]]:
    """The prompt, the answer, its thoughts, and both cells as they are."""
    for name in ("prompt", "completion"):
        if row.get(name) is None or row.get(name) == []:
            raise InputError(f"{where} has no `{name}`; every row needs a prompt and a completion")
    given = parsed_cells({name: row[name] for name in ("prompt", "completion")}, where)
    if all(isinstance(cell, str) for cell in given.values()):
        return [{"role": "user", "content": str(given["prompt"])}], str(given["completion"]), "", list(given.values())
    completion = conversation(given["completion"], f"`completion` in {where}", thinking)
    if len(completion) != 1:
        raise InputError(
            f"`completion` in {where} has {len(completion)} messages; give one assistant message, and those before it in `prompt`"
        )
    prompt = conversation(given["prompt"], f"`prompt` in {where}", thinking)
    answer = last_answer(completion, f"`completion` in {where}")
    return prompt, answer, completion[0].get(THOUGHTS, ""), list(given.values())


def _label(value: object, where: str) -> bool:
    if value not in (True, False, 0, 1):
        raise InputError(
            f"`label` in {where} is {value!r}; it must be true for a desirable answer and false for another"
        )
    return bool(value)


def _row_hash(prompt: Messages, *answers: str) -> str:
    content = json.dumps([prompt, *answers], sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _template_options(value: object, where: str) -> dict[str, Any]:
    """Options of the chat template, such as enable_thinking; those that a parquet file fills with null are left out."""
    try:
        options = json.loads(value) if isinstance(value, str) and value.strip() else value or {}
    except ValueError:
        options = value
    if not isinstance(options, Mapping):
        raise InputError(f"`chat_template_kwargs` in {where} is not an object with the template's options; correct it")
    if fixed := sorted(_FIXED_OPTIONS & options.keys()):
        raise InputError(
            f"`chat_template_kwargs` in {where} sets `{fixed[0]}`, which training sets itself; leave it out"
        )
    return {name: option for name, option in options.items() if option is not None}


def _objective(value: object, where: str) -> Objective | None:
    if value is None:
        return None
    try:
        objective = Objective(str(value))
    except ValueError as error:
        raise InputError(
            f"`objective` in {where} is {value!r}; use one of {', '.join(Objective)}, or null for the run's objective"
        ) from error
    if not objective.is_paired or objective is Objective.SFT:
        raise InputError(
            f"`objective` in {where} is {value!r}, which cannot be set for single pairs; use null, or the "
            f"option --objective {value}"
        )
    return objective


def _weight(row: Mapping[str, Any], where: str) -> float:
    return _number(row, "weight", where, "1 is that of an ordinary row") if "weight" in row else 1.0


def _number(row: Mapping[str, Any], column: str, where: str, usual: str) -> float:
    """The number in a column that not all data sets have, but where it is there every row."""
    value = row[column]
    if value is None:
        raise InputError(f"`{column}` in {where} is missing; every row needs one ({usual}), or none does")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise InputError(f"`{column}` in {where} is {value!r}; it must be a finite number of at least 0")
    return float(value)
