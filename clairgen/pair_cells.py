"""A pair of answers in the cells of a row: prompt, chosen and rejected, as texts, messages or whole conversations.

Importing and training read pairs by this alone, so that both take the same rows for pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from clairgen.conversations import messages_in, unsupported_message
from clairgen.errors import InputError

Messages: TypeAlias = list[dict[str, str]]
THOUGHTS = "reasoning_content"
"""The key of a message that holds its thoughts here, whatever the data and the chat template call them."""
_THOUGHT_FIELDS = (THOUGHTS, "reasoning", "thinking")


class ThinkingPolicy(StrEnum):
    """What becomes of the thoughts beside an answer's text when it is trained on."""

    REFUSE = "refuse"
    DROP = "drop"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class PairCells:
    """What the three cells hold: the prompt's messages and the text of both answers.

    `shape` is "messages", "whole conversations" (split into prompt and answer) or "text". `unused_fields` names what messages
    hold beside role and content. Thoughts are empty where there are none, or where they are not kept; a message of the prompt has
    them under the key THOUGHTS.
    """

    prompt: Messages
    chosen: str
    rejected: str
    shape: str
    unused_fields: frozenset[str]
    chosen_thoughts: str = ""
    rejected_thoughts: str = ""


def read_pair(row: Mapping[str, Any], where: str, thinking: ThinkingPolicy | None = None) -> PairCells:
    """The pair in `prompt`, `chosen` and `rejected` of a row. Raises InputError, one sentence that names the row by `where`.

    `thinking` is what becomes of thoughts beside a text; None for who can do nothing with them.
    """
    answers = {name: row.get(name) for name in ("chosen", "rejected")}
    for name, answer in answers.items():
        if answer is None or answer == []:
            raise InputError(f"{where} has no `{name}`; every row needs a prompt, a chosen and a rejected answer")
    answers = parsed_cells(answers, where)
    given = parsed_cells({"prompt": row.get("prompt")}, where)["prompt"]
    thoughts = ("", "")
    if all(isinstance(answer, str) for answer in answers.values()):
        prompt, texts, shape = _from_text(given, answers, where, thinking)
    else:
        chosen, rejected = (conversation(answer, f"`{name}` in {where}", thinking) for name, answer in answers.items())
        if isinstance(given, list) and given and len(chosen) == len(rejected) == 1:
            prompt, shape = conversation(given, f"`prompt` in {where}", thinking), "messages"
        else:
            # The published CLAIR data set: `prompt` as text beside [user, assistant] in both answers
            prompt, shape = _common_prompt(chosen, rejected, where), "whole conversations"
        texts = (last_answer(chosen, f"`chosen` in {where}"), last_answer(rejected, f"`rejected` in {where}"))
        thoughts = (chosen[-1].get(THOUGHTS, ""), rejected[-1].get(THOUGHTS, ""))
    if not any(message["role"] == "user" for message in prompt):
        raise InputError(f"the prompt in {where} has no user message; fix or remove that row")
    return PairCells(prompt, *texts, shape, unused_fields(given, *answers.values(), thinking=thinking), *thoughts)


def parsed_cells(cells: Mapping[str, Any], where: str) -> dict[str, Any]:
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


def conversation(value: object, where: str, thinking: ThinkingPolicy | None = None) -> Messages:
    """A list of messages with a role and a text, and with their thoughts if these are kept, checked. Raises InputError."""
    if not isinstance(value, list):
        raise InputError(f"{where} is neither text nor a list of messages; fix or remove that row")
    messages = []
    for message in value:
        thoughts = ""
        if thinking is not None and isinstance(message, Mapping):
            thoughts = _thoughts(message, where, thinking)
            message = {name: part for name, part in message.items() if name not in _THOUGHT_FIELDS}
        lost = unsupported_message(message) if isinstance(message, Mapping) else None
        if lost:
            raise InputError(f"{where} {lost}; fix or remove that row")
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str):
            raise InputError(f"{where} has a message without a text `role` and `content`; fix or remove that row")
        messages.append(message_of(role, content, thoughts if thinking is ThinkingPolicy.KEEP else ""))
    return messages


def message_of(role: str, content: str, thoughts: str = "") -> dict[str, str]:
    """A message, with its thoughts where there are any."""
    return {"role": role, "content": content} | ({THOUGHTS: thoughts} if thoughts else {})


def last_answer(conversation: Messages, where: str) -> str:
    """The text of the last message, an assistant's. Raises InputError."""
    last = conversation[-1]
    if last["role"] != "assistant":
        raise InputError(f"{where} does not end with an assistant's message; fix or remove that row")
    return last["content"]


def unused_fields(*cells: object, thinking: ThinkingPolicy | None = None) -> frozenset[str]:
    """The names of what messages hold beside their role and content and nobody reads."""
    used = {"role", "content", *(_THOUGHT_FIELDS if thinking is ThinkingPolicy.KEEP else ())}
    messages = (message for cell in cells if isinstance(cell, list) for message in cell if isinstance(message, Mapping))
    return frozenset(name for message in messages for name, value in message.items() if name not in used and value)


def _thoughts(message: Mapping[str, Any], where: str, thinking: ThinkingPolicy) -> str:
    """The thoughts of a message; empty without any. Raises InputError where they are refused or cannot be read."""
    found = {name: message[name] for name in _THOUGHT_FIELDS if message.get(name)}
    if not found:
        return ""
    name, thoughts = next(iter(found.items()))
    if thinking is ThinkingPolicy.REFUSE:
        raise InputError(
            f"{where} has a message with `{name}`; thoughts beside the text are trained on with --set thinking=keep and left out "
            "with --set thinking=drop; or remove that row"
        )
    if not isinstance(thoughts, str) or any(other != thoughts for other in found.values()):
        raise InputError(
            f"{where} has a message whose thoughts (`{', '.join(found)}`) are not one text; correct that row"
        )
    return thoughts


def _from_text(
    given: object, answers: Mapping[str, Any], where: str, thinking: ThinkingPolicy | None
) -> tuple[Messages, tuple[str, str], str]:
    texts = (str(answers["chosen"]), str(answers["rejected"]))
    if isinstance(given, list):
        return conversation(given, f"`prompt` in {where}", thinking), texts, "text"
    if not isinstance(given, str) or not given:
        raise InputError(f"{where} has no `prompt`, which answers given as text need; add it or remove that row")
    return [{"role": "user", "content": given}], texts, "text"


def _common_prompt(chosen: Messages, rejected: Messages, where: str) -> Messages:
    if len(chosen) < 2 or chosen[:-1] != rejected[:-1]:
        raise InputError(
            f"`chosen` and `rejected` in {where} do not begin with the same prompt; give `prompt` as a list of messages"
        )
    return chosen[:-1]
