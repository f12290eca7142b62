"""Items with their texts, to be looked at: the prompt as it was sent, the reference, the answer of the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clairgen.evaluation.results import EvaluationComparison, compared, named_result, stored_results
from clairgen.store import ItemRecord, RunDirectory, Store, reading
from clairgen.thinking import separate

_PLAIN_ROLE = "user"


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item with its texts; `reference_name` is a title. `answer` is empty where none came, `reference` where there is none."""

    item: ItemRecord
    prompt: str
    answer: str
    reference: str
    reference_name: str = "Reference"


async def load_comparison(
    run: Path | str, a: str, b: str, examples: int
) -> tuple[EvaluationComparison, list[tuple[ShownItem, ShownItem]]]:
    """Two evaluations of a directory compared, and examples of what changed: as many that got worse, then that got better."""
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        results = await stored_results(store)
        found = compared(named_result(results, a, run), named_result(results, b, run))
        return found, [(await shown(store, one), await shown(store, other)) for one, other in spread(found, examples)]


def spread(found: EvaluationComparison, most: int) -> list[tuple[ItemRecord, ItemRecord]]:
    """Of the changed items at most `most` that fell and as many that rose, from the whole range of the items."""
    fell = [pair for pair in found.changed if (pair[1].score or 0.0) < (pair[0].score or 0.0)]
    rose = [pair for pair in found.changed if (pair[1].score or 0.0) > (pair[0].score or 0.0)]
    return [pair for group in (fell, rose) for pair in _spaced(group, most)]


async def shown(store: Store, item: ItemRecord) -> ShownItem:
    """An item with the texts in its detail, or else those of its first completion."""
    if "opponent" in item.detail:
        return await _shown_pair(store, item)
    messages: Sequence[Any] = ()
    answer = ""
    if item.requests:
        key = item.requests[0][1]
        completion = await store.completions.find(key)
        messages = await store.completions.messages(key)
        if completion is not None:
            answer = separate(completion.text, "\n".join(message.content for message in messages)).answer
    turns = [message for message in messages if message.role != "system"]
    prompt = (
        turns[0].content if len(turns) == 1 else "\n\n".join(f"{message.role}: {message.content}" for message in turns)
    )
    reference = item.detail.get("reference")
    listed = reference if isinstance(reference, list) else [] if reference is None else [reference]
    return ShownItem(item, prompt, answer, " or ".join(map(str, listed)))


async def _shown_pair(store: Store, item: ItemRecord) -> ShownItem:
    """A pair of answers: the model's beside its opponent's, or, where a judge is measured, what that wrote beside both."""
    prompt, answer, opponent = (str(item.detail[name]) for name in ("prompt", "answer", "opponent"))
    if item.detail.get("row") is None:
        return ShownItem(item, prompt, answer, opponent, "The opponent's answer")
    replies = []
    for verdict, (_, key) in zip(item.detail["verdicts"], item.requests, strict=False):
        first = "better" if verdict["first"] == "answer" else "worse"
        completion = await store.completions.find(key)
        said = "" if completion is None else completion.text
        replies.append(f"Shown the {first} one first ({verdict['status']}):\n{said}")
    return ShownItem(
        item,
        prompt,
        "\n\n".join(replies),
        f"The better one:\n{answer}\n\nThe worse one:\n{opponent}",
        "The two answers",
    )


def _spaced(group: Sequence[tuple[ItemRecord, ItemRecord]], most: int) -> list[tuple[ItemRecord, ItemRecord]]:
    if most == 0:
        return []
    step = max(1, len(group) // most)
    return list(group[::step][:most])
