"""What a recipe is: a coroutine over stored completions, without database or HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from clairgen.config.criteria import Criterion
from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.errors import ConfigError, RequestFailedError
from clairgen.records import Answer, Completion, Message, Pair, Task, Undecided
from clairgen.templates import Template
from clairgen.thinking import separate

Answered = TypeVar("Answered")


class Ask(Protocol):
    """The one way to get text from a model: returns the stored completion of a request, or sends it and stores the completion."""

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """Ask the model in `role`; different `sample` indices of one prompt give different answers.

        The completion's text is the answer, without the thinking before it and the control tokens after it.

        Raises RequestFailedError when this task has to fail, RunStoppedError when the run stops.
        """


@dataclass(frozen=True, slots=True)
class RecipeContext:
    """What a recipe works with besides task and ask: the user's choice, its templates by role, its roles, the run's seed.

    `recorded` is whether it takes the data set's own answers; `deterministic` are the roles whose samples are all the same,
    at temperature 0. `rubric` has the criteria of the configuration, for a recipe that goes by them.
    """

    choice: RecipeChoice
    templates: Mapping[str, Template]
    roles: Sequence[str]
    seed: int
    recorded: bool = False
    deterministic: frozenset[str] = frozenset()
    rubric: tuple[Criterion, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to make pairs.

    `make` is the equation. `roles` gives the roles that it asks under a configuration, in order. `templates` names each
    role's prompt template and `slots` the slots that it must have. `options` are the keys of a `RecipeChoice` that this
    recipe has besides its name. `revises` is whether the chosen answer is a revision of the rejected one, for which some
    filters have a stricter rule (A.2). `parser_version` is that of the parser that reads replies, `reads_answers` whether
    the recipe may take the data set's own answers. `calls` gives the requests per task of a role, for estimates. `by_rubric`
    is whether it goes by the configuration's rubric. `under` gives the recipe as it is under a choice that needs other
    templates or another parser, None where it is as it stands.
    """

    name: str
    make: Callable[[Task, Ask, RecipeContext], Awaitable[Pair | Undecided]]
    roles: Callable[[RunConfig, RecipeChoice], Sequence[str]]
    summary: str
    revises: bool = False
    templates: Mapping[str, str] = field(default_factory=dict)
    slots: Mapping[str, frozenset[str]] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    parser_version: int | None = None
    reads_answers: bool = False
    calls: Callable[[RecipeChoice, str], int] = lambda _choice, _role: 1
    by_rubric: bool = False
    under: Callable[[RecipeChoice], "Recipe | None"] = lambda _choice: None


def always(*roles: str) -> Callable[[RunConfig, RecipeChoice], Sequence[str]]:
    """For a recipe that has the same roles under every configuration."""
    return lambda _config, _choice: roles


def require_sampling(config: RunConfig, role: str, recipe: str, needed: str) -> None:
    """Raise ConfigError where a recipe needs different answers of a role (`needed` in words) whose temperature is 0."""
    model = config.models.get(role)
    if model is not None and model.temperature == 0:
        raise ConfigError(
            f"the recipe {recipe!r} needs {needed}, which at temperature 0 are the same; give "
            f"models.{role}.temperature a value above 0"
        )


async def together(*requests: Coroutine[Any, Any, Answered]) -> list[Answered]:
    """What requests that do not depend on each other return, in their order: sent at once, so that by batch they are in one.

    If some fail the first error is raised, but only when all have ended, since an answer that is under way may be paid for.
    """
    ended = await asyncio.gather(*requests, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException):
            raise one
    return [one for one in ended if not isinstance(one, BaseException)]


def answer_of(completion: Completion) -> Answer:
    """A completion's whole text as one answer of a pair."""
    return Answer(completion.text, completion.finish_reason, completion.key, completion.model, completion.removed)


def unparsed(completion: Completion) -> Completion:
    """A reply that no parser reads. Raises RequestFailedError, `truncated`, for one that is thinking without end."""
    if separate(completion.text).unclosed:
        detail = f"the answer of {completion.model} is thinking that never ends; raise max_tokens"
        error = RequestFailedError("truncated", detail, status=200, billed=True)
        error.role = completion.role
        raise error
    return completion


def as_user(text: str) -> tuple[Message, ...]:
    """A filled template as the messages of a request."""
    return (Message("user", text),)
