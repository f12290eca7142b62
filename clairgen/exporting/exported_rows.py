"""A pair as rows, in the shape that is trained on."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from clairgen.exporting.columns import ExportFormat, exported_name
from clairgen.exporting.reference_answers import ReferenceAnswer
from clairgen.exporting.shards import Row
from clairgen.exporting.thoughts import NO_THOUGHTS, PairThoughts, ThinkingField
from clairgen.records import FilterAction, Message, Pair, StoredPair


def rows_of(
    stored: StoredPair,
    export_format: ExportFormat,
    *,
    advised: bool = False,
    confirmed: bool | None = None,
    thinking: ThinkingField | None = None,
    thoughts: PairThoughts = NO_THOUGHTS,
    votes: Mapping[str, str] | None = None,
    source_columns: Mapping[str, str] = MappingProxyType({}),
    reference: ReferenceAnswer | None = None,
) -> list[Row]:
    """The rows of a pair that has a chosen answer: two for KTO, else one; `advised` adds the pair's objective.

    `confirmed` is what the column of that name says, None for no such column; for KTO a confirmed answer is one row, as nobody
    called it undesirable. `thinking` is the field of each answer's message that has its thoughts, null without any; None for no
    such field. `votes` has what people said of pairs, by their ids; None for no such column. `source_columns` are the further
    columns of pairs, with what they hold. `reference` is the answer that TPO needs besides.
    """
    pair = stored.outcome
    if not isinstance(pair, Pair):
        raise ValueError(f"pair {stored.id} has no chosen answer to export")
    provenance = _provenance(stored, pair)
    if advised:
        provenance["objective"] = None if stored.objective is None else stored.objective.value
    if confirmed is not None:
        provenance["confirmed"] = confirmed
    if votes is not None:
        provenance["vote"] = votes.get(stored.id)
    for name, kind in source_columns.items():
        provenance[exported_name(name)] = _exported(stored.source_columns.get(name), kind)
    prompt = [_message(message) for message in stored.task.messages]
    chosen = [_answer(pair.chosen.text, thinking, thoughts.chosen)]
    rejected = [_answer(pair.rejected.text, thinking, thoughts.rejected)]
    gold = None if reference is None else [_answer(reference.text, thinking, reference.thoughts)]
    contents = _contents(export_format, pair, prompt, chosen, rejected, gold)
    return [content | provenance for content in contents[: 1 if confirmed else None]]


def _contents(
    export_format: ExportFormat,
    pair: Pair,
    prompt: list[Row],
    chosen: list[Row],
    rejected: list[Row],
    reference: list[Row] | None,
) -> list[Row]:
    """The columns that differ by format, for each row of a pair."""
    match export_format:
        case ExportFormat.PREFERENCE:
            return [{"prompt": prompt, "chosen": chosen, "rejected": rejected}]
        case ExportFormat.KTO:
            labelled = ((chosen, True), (rejected, False))
            return [{"prompt": prompt, "completion": answer, "label": label} for answer, label in labelled]
        case ExportFormat.SFT:
            return [{"prompt": prompt, "completion": chosen}]
        case ExportFormat.REWARD:
            return [{"chosen": prompt + chosen, "rejected": prompt + rejected}]
        case ExportFormat.TPO:
            return [{"prompt": prompt, "chosen": chosen, "rejected": rejected, "reference": reference}]
        case ExportFormat.SDFT:
            return [{"prompt": prompt, "privileged_context": pair.chosen.text}]
        case ExportFormat.SDPO:
            return [{"prompt": prompt, "privileged_context": pair.reasoning}]


def _exported(value: Any, kind: str) -> Any:  # noqa: ANN401 - any JSON value
    """A further column's value as its type takes it; JSON text in a column whose values are of several kinds."""
    if value is None or kind == "text":
        return value
    if kind == "json":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return float(value) if kind == "number" else value


def _message(message: Message) -> Row:
    return {"role": message.role, "content": message.content}


def _answer(text: str, thinking: ThinkingField | None, thoughts: str) -> Row:
    message = {"role": "assistant", "content": text}
    return message if thinking is None else message | {thinking.value: thoughts or None}


def _provenance(stored: StoredPair, pair: Pair) -> Row:
    contrast = stored.contrast
    return {
        "task_id": stored.task.id,
        "pair_id": stored.id,
        "recipe": pair.recipe,
        "chosen_model": pair.chosen.model,
        "rejected_model": pair.rejected.model,
        "jaccard": None if contrast is None else 100 * contrast.jaccard,
        "tokenizer": None if contrast is None else contrast.tokenizer,
        "levenshtein": None if contrast is None else contrast.levenshtein,
        "length_ratio": None if contrast is None else contrast.length_ratio,
        "reasoning": pair.reasoning,
        "marks": [finding.reason for finding in stored.findings if finding.action is FilterAction.MARK],
    }
