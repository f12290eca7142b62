"""What an evaluation is made of: items, and an evaluator that scores one of them by asking models.

An evaluator is to an evaluation what a recipe is to a run: a coroutine over durable completions, without database, concurrency
or HTTP. `await ask("target", item.messages)` returns the stored answer, or requests and stores it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from clairgen.recipes.recipe import Ask
from clairgen.records import Completion, Message
from clairgen.templates import Template


class ItemStatus(StrEnum):
    """What came of an item. Only `SCORED` ones count in a mean; the others are counted by their reasons."""

    SCORED = "scored"
    UNREADABLE = "unreadable"
    """A judge's answer in which no verdict can be read."""
    FAILED = "failed"
    """A request that cannot be answered, or a fault of the evaluator."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to score: the prompt, and what the evaluator holds answers against (any JSON value).

    `id` is unique in the evaluation and pairs the items of two evaluations. Items of one `cluster` are about the same prompt, so
    that their scores depend on each other. `part` names a benchmark or a kind of question, empty if there are no parts.
    """

    id: str
    messages: tuple[Message, ...]
    cluster: str
    part: str = ""
    reference: Any = None
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """A score between 0 and 1, where `status` is SCORED; otherwise None, and `reason` says why in a short stable name.

    A score may have a reason as well, such as an answer in which there is no number. `detail` is what is needed to show the
    item (any JSON object); answers need not be in it, since the completions that were asked for are kept with the item.
    """

    score: float | None
    status: ItemStatus = ItemStatus.SCORED
    reason: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


class Evaluator(Protocol):
    """A way to score items.

    `kind` names it, such as `questions`; `noun` names one item for progress, such as `question`. `settings` is everything besides
    items and models that scores rest on, the version of the rules included (any JSON object): where it differs, the evaluation
    is another one. `roles` are the roles that it asks.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102 - see above

    @property
    def noun(self) -> str: ...  # noqa: D102 - see above

    @property
    def settings(self) -> Mapping[str, Any]: ...  # noqa: D102 - see above

    @property
    def roles(self) -> Sequence[str]: ...  # noqa: D102 - see above

    async def score(self, item: Item, ask: Ask) -> Scored:
        """Score an item. Sample indices count from 0; the runner keeps them apart from those of training data.

        Raises RequestFailedError where a request failed, which is recorded as the item's failure, and RunStoppedError.
        """


class NotingAsk:
    """An `Ask` that notes what the servers called the models that answered: name and fingerprint, each two once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.served: list[list[str]] = []

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        completion = await self._ask(role, messages, sample=sample, template=template)
        names = [completion.served_model or "", completion.system_fingerprint or ""]
        if any(names) and names not in self.served:
            self.served.append(names)
        return completion
