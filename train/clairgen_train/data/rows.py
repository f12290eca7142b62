"""A row of a data set, in any of the usual shapes: a pair of answers to one prompt, or a single answer."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from clairgen.conversations import messages_in, unsupported_column, unsupported_message
from clairgen.errors import InputError
from clairgen_train.settings import Objective, Thinking

Messages = list[dict[str, str]]

THOUGHTS = "reasoning_content"
"""The key of a message that holds its thoughts here, whatever the data and the chat template call them."""
_THOUGHT_FIELDS = (THOUGHTS, "reasoning", "thinking")
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

    A single answer has no `rejected`, and `label` says whether it is desirable, where the data does. `objective` and `weight` are
    the row's own, where the data has those columns; `shape` is a key of SHAPES. `template_options` are for the chat template,
    from the column `chat_template_kwargs`; `unused_fields` names what messages hold beside role and content. Thoughts are empty
    where there are none, or where they are not kept; a message of the prompt has them under the key THOUGHTS.
    """

    pair_id: str
    prompt: Messages
    chosen: str
    rejected: str | None
    shape: str
    objective: Objective | None = None
    weight: float = 1.0
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
        return [_message("assistant", text, thoughts) for text, thoughts in pairs]


def pair_row(
    row: Mapping[str, Any], number: int, *, own_objective: bool = True, thinking: Thinking = Thinking.REFUSE
) -> TrainingRow:
    """Read row `number` of a data set, its column `objective` only with `own_objective`.

    Raises InputError, one sentence, for a row that is not a pair.
    """
    where = f"row {number:,} of the data set"
    lost = unsupported_column(row)
    if lost:
        raise InputError(f"{where} {lost}; fix or remove that row")
    answers = {name: row.get(name) for name in ("chosen", "rejected")}
    for name, answer in answers.items():
        if answer is None or answer == []:
            raise InputError(f"{where} has no `{name}`; every row needs a prompt, a chosen and a rejected answer")
    answers = _parsed(answers, where)
    given = _parsed({"prompt": row.get("prompt")}, where)["prompt"]
    thoughts = ("", "")
    if all(isinstance(answer, str) for answer in answers.values()):
        prompt, texts, shape = _from_text(given, answers, where, thinking)
    else:
        chosen, rejected = (_conversation(answer, f"`{name}` in {where}", thinking) for name, answer in answers.items())
        if isinstance(given, list) and given and len(chosen) == len(rejected) == 1:
            prompt, shape = _conversation(given, f"`prompt` in {where}", thinking), "messages"
        else:
            # The published CLAIR data set: `prompt` as text beside [user, assistant] in both answers
            prompt, shape = _common_prompt(chosen, rejected, where), "whole conversations"
        texts = (_answer(chosen, f"`chosen` in {where}"), _answer(rejected, f"`rejected` in {where}"))
        thoughts = (chosen[-1].get(THOUGHTS, ""), rejected[-1].get(THOUGHTS, ""))
    if not any(message["role"] == "user" for message in prompt):
        raise InputError(f"the prompt in {where} has no user message; fix or remove that row")
    return TrainingRow(
        pair_id=str(row.get("pair_id") or _row_hash(prompt, *texts, *filter(None, thoughts))),
        prompt=prompt,
        chosen=texts[0],
        rejected=texts[1],
        shape=shape,
        objective=_objective(row.get("objective"), where) if own_objective else None,
        weight=_weight(row.get("weight"), where),
        template_options=_template_options(row.get("chat_template_kwargs"), where),
        unused_fields=_unused_fields(given, *answers.values(), thinking=thinking),
        chosen_thoughts=thoughts[0],
        rejected_thoughts=thoughts[1],
    )


def answer_row(row: Mapping[str, Any], number: int, *, thinking: Thinking = Thinking.REFUSE) -> TrainingRow:
    """Read row `number` of a data set of single answers. Raises InputError, one sentence, for a row that is not one."""
    where = f"row {number:,} of the data set"
    lost = unsupported_column(row)
    if lost:
        raise InputError(f"{where} {lost}; fix or remove that row")
    if "completion" in row:
        prompt, answer, thoughts, given = _prompt_and_completion(row, where, thinking)
        shape = "labeled answers" if "label" in row else "answers"
    else:
        messages = _parsed({"messages": row.get("messages")}, where)["messages"]
        whole = _conversation(messages, f"`messages` in {where}", thinking)
        if not whole:
            raise InputError(f"{where} has no `messages`; fix or remove that row")
        prompt, answer, shape = whole[:-1], _answer(whole, f"`messages` in {where}"), "conversations"
        given, thoughts = [messages], whole[-1].get(THOUGHTS, "")
    if not any(message["role"] == "user" for message in prompt):
        raise InputError(f"the prompt in {where} has no user message; fix or remove that row")
    return TrainingRow(
        pair_id=str(row.get("pair_id") or _row_hash(prompt, answer, *filter(None, [thoughts]))),
        prompt=prompt,
        chosen=answer,
        rejected=None,
        shape=shape,
        weight=_weight(row.get("weight"), where),
        template_options=_template_options(row.get("chat_template_kwargs"), where),
        unused_fields=_unused_fields(*given, thinking=thinking),
        chosen_thoughts=thoughts,
        label=_label(row["label"], where) if shape == "labeled answers" else None,
    )


def _prompt_and_completion(
    row: Mapping[str, Any], where: str, thinking: Thinking
) -> tuple[Messages, str, str, list[Any]]:
    """The prompt, the answer, its thoughts, and both cells as they are."""
    for name in ("prompt", "completion"):
        if row.get(name) is None or row.get(name) == []:
            raise InputError(f"{where} has no `{name}`; every row needs a prompt and a completion")
    given = _parsed({name: row[name] for name in ("prompt", "completion")}, where)
    if all(isinstance(cell, str) for cell in given.values()):
        return [{"role": "user", "content": str(given["prompt"])}], str(given["completion"]), "", list(given.values())
    completion = _conversation(given["completion"], f"`completion` in {where}", thinking)
    if len(completion) != 1:
        raise InputError(
            f"`completion` in {where} has {len(completion)} messages; give one assistant message, and those before it in `prompt`"
        )
    prompt = _conversation(given["prompt"], f"`prompt` in {where}", thinking)
    answer = _answer(completion, f"`completion` in {where}")
    return prompt, answer, completion[0].get(THOUGHTS, ""), list(given.values())


def _label(value: object, where: str) -> bool:
    if value not in (True, False, 0, 1):
        raise InputError(
            f"`label` in {where} is {value!r}; it must be true for a desirable answer and false for another"
        )
    return bool(value)


def _parsed(cells: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The cells, those that are messages as JSON text as lists; either all texts among them are, or none."""
    parsed: dict[str, Any] = {}
    for name, cell in cells.items():
        try:
            parsed[name] = messages_in(cell) if isinstance(cell, str) else None
        except ValueError as error:
            raise InputError(f"`{name}` in {where} {error}") from error
    found = {name: messages if messages is not None else cells[name] for name, messages in parsed.items()}
    texts = [name for name, cell in found.items() if isinstance(cell, str)]
    if texts and len(texts) < len(found):
        other = next(name for name in found if name not in texts)
        raise InputError(f"`{texts[0]}` in {where} is text and `{other}` is messages; give both in one form")
    return found


def _from_text(
    given: object, answers: Mapping[str, Any], where: str, thinking: Thinking
) -> tuple[Messages, tuple[str, str], str]:
    texts = (str(answers["chosen"]), str(answers["rejected"]))
    if isinstance(given, list):
        return _conversation(given, f"`prompt` in {where}", thinking), texts, "text"
    if not isinstance(given, str) or not given:
        raise InputError(f"{where} has no `prompt`, which answers given as text need; add it or remove that row")
    return [{"role": "user", "content": given}], texts, "text"


def _conversation(value: object, where: str, thinking: Thinking) -> Messages:
    """Messages with a role and a text, and with their thoughts if these are kept, checked."""
    if not isinstance(value, list):
        raise InputError(f"{where} is neither text nor a list of messages; fix or remove that row")
    messages = []
    for message in value:
        thoughts = _thoughts(message, where, thinking) if isinstance(message, Mapping) else ""
        lost = unsupported_message(_without_thoughts(message)) if isinstance(message, Mapping) else None
        if lost:
            raise InputError(f"{where} {lost}; fix or remove that row")
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str):
            raise InputError(f"{where} has a message without a text `role` and `content`; fix or remove that row")
        messages.append(_message(role, content, thoughts if thinking is Thinking.KEEP else ""))
    return messages


def _thoughts(message: Mapping[str, Any], where: str, thinking: Thinking) -> str:
    """The thoughts of a message; empty without any. Raises InputError where they are refused or cannot be read."""
    found = {name: message[name] for name in _THOUGHT_FIELDS if message.get(name)}
    if not found:
        return ""
    name, thoughts = next(iter(found.items()))
    if thinking is Thinking.REFUSE:
        raise InputError(
            f"{where} has a message with `{name}`; thoughts beside the text are trained on with --set thinking=keep and left out "
            "with --set thinking=drop; or remove that row"
        )
    if not isinstance(thoughts, str) or any(other != thoughts for other in found.values()):
        raise InputError(
            f"{where} has a message whose thoughts (`{', '.join(found)}`) are not one text; correct that row"
        )
    return thoughts


def _without_thoughts(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in _THOUGHT_FIELDS}


def _message(role: str, content: str, thoughts: str) -> dict[str, str]:
    return {"role": role, "content": content} | ({THOUGHTS: thoughts} if thoughts else {})


def _common_prompt(chosen: Messages, rejected: Messages, where: str) -> Messages:
    if len(chosen) < 2 or chosen[:-1] != rejected[:-1]:
        raise InputError(
            f"`chosen` and `rejected` in {where} do not begin with the same prompt; give `prompt` as a list of messages"
        )
    return chosen[:-1]


def _answer(conversation: Messages, where: str) -> str:
    last = conversation[-1]
    if last["role"] != "assistant":
        raise InputError(f"{where} does not end with an assistant's message; fix or remove that row")
    return last["content"]


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


def _unused_fields(*cells: object, thinking: Thinking) -> frozenset[str]:
    """The names of what messages hold beside their role and content and nobody reads."""
    used = {"role", "content", *(_THOUGHT_FIELDS if thinking is Thinking.KEEP else ())}
    messages = (message for cell in cells if isinstance(cell, list) for message in cell if isinstance(message, Mapping))
    return frozenset(name for message in messages for name, value in message.items() if name not in used and value)


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


def _weight(value: object, where: str) -> float:
    if value is None:
        return 1.0
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InputError(f"`weight` in {where} is {value!r}; it must be a finite number of at least 0")
    return float(value)
