"""What a recipe is: a coroutine over durable completions. It knows no database, no concurrency and no HTTP."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clairgen.records import Answer, Completion, Message, Pair, Task
from clairgen.templates import Template


class Ask(Protocol):
    """The one way to get text out of a model: returns the stored completion of this ask, or asks and stores it."""

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """Ask the model in `role`; different `sample` indices of one prompt are different answers.

        Raises AskFailedError when this task must fail, RunStoppedError when the run stops.
        """


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to make pairs.

    `make` is the equation. `asks` names the roles that it asks, in order, and for each the slots of the template that
    it is asked with (None: it is given the task as it is). `revises` tells that the chosen answer is a revision of the
    rejected one, which the length-ratio filter holds to a stricter rule (A.2). `reread` reads the answer that holds the
    chosen one again, for a recipe that parses it.
    """

    name: str
    make: Callable[[Task, Ask, Mapping[str, Template]], Awaitable[Pair]]
    asks: Mapping[str, frozenset[str] | None]
    summary: str
    revises: bool = False
    reread: Callable[[Pair, Answer], Pair] | None = None
    templates: Mapping[str, str] = field(default_factory=dict)


def answer_of(completion: Completion) -> Answer:
    """A completion's whole text as one side of a pair."""
    return Answer(completion.text, completion.finish_reason, completion.key, completion.model)


def as_user(text: str) -> tuple[Message, ...]:
    """A filled template as the messages that are sent."""
    return (Message("user", text),)
