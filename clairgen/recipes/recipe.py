"""What a recipe is: a coroutine over durable completions. It knows no database, no concurrency and no HTTP."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.records import Answer, Completion, Message, Pair, Task
from clairgen.templates import Template


class Ask(Protocol):
    """The one way to get text out of a model: returns the stored completion of this ask, or asks and stores it."""

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """Ask the model in `role`; different `sample` indices of one prompt are different answers.

        Raises RequestFailedError when this task must fail, RunStoppedError when the run stops.
        """


@dataclass(frozen=True, slots=True)
class RecipeContext:
    """What a recipe works with besides task and ask: the user's choice, its templates by role, the roles it asks, the seed.

    `recorded` tells that it takes the answers that the data set brings; `certain` are the roles whose samples are all the
    same, at temperature 0.
    """

    choice: RecipeChoice
    templates: Mapping[str, Template]
    roles: Sequence[str]
    seed: int
    recorded: bool = False
    certain: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to make pairs.

    `make` is the equation. `asks` gives the roles that it asks under a configuration, in order. `templates` names, by role,
    the template that it is asked with; `slots` are what each must have. `options` are the keys of a recipe's choice that
    this one takes besides its name. `revises` tells that the chosen answer is a revision of the rejected one, which the
    length-ratio filter holds to a stricter rule (A.2). `parser_version` is that of the parser that reads its
    answers; `reads_answers` that it may take the answers of the data set. `calls` is how often a role is asked a task, for
    estimates.
    """

    name: str
    make: Callable[[Task, Ask, RecipeContext], Awaitable[Pair]]
    asks: Callable[[RunConfig, RecipeChoice], Sequence[str]]
    summary: str
    revises: bool = False
    templates: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, frozenset[str]] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    parser_version: int | None = None
    reads_answers: bool = False
    calls: Callable[[RecipeChoice, str], int] = lambda _choice, _role: 1


def always(*roles: str) -> Callable[[RunConfig, RecipeChoice], Sequence[str]]:
    """For a recipe that asks the same roles under every configuration."""
    return lambda _config, _choice: roles


def answer_of(completion: Completion) -> Answer:
    """A completion's whole text as one side of a pair."""
    return Answer(completion.text, completion.finish_reason, completion.key, completion.model)


def as_user(text: str) -> tuple[Message, ...]:
    """A filled template as the messages that are sent."""
    return (Message("user", text),)
