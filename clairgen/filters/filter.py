"""What a filter is: options that can be configured, and a pure check of a pair that returns a named reason or nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from clairgen.filters.options import FilterOptions
from clairgen.patterns import lazy_pattern
from clairgen.records import Contrast, FilterAction, Message, Pair, Undecided

_NAME = lazy_pattern(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a filter sees: the pair, its contrast, and the prompt that the target saw.

    `contrast` is None when the pair was not measured. `cut_prompts` are the roles of which it is known that their server cut
    the prompt. `source_columns` are what the row of an imported pair has besides prompt and answers. `votes` are what people say
    of the pair: keep, swap, tie or drop, one of each person.
    """

    pair: Pair
    contrast: Contrast | None = None
    prompt: Sequence[Message] = ()
    cut_prompts: Sequence[str] = ()
    source_columns: Mapping[str, Any] = field(default_factory=dict)
    votes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """What a check finds in a pair: the reason that such pairs are counted under, and the measured value, if there is one."""

    reason: str
    value: float | str | None = None


Check: TypeAlias = Callable[[Candidate], Fault | None]

OptionsT = TypeVar("OptionsT", bound=FilterOptions)


@dataclass(frozen=True, slots=True)
class Filter(Generic[OptionsT]):
    """A filter. Its default action is the default of `options().action`.

    `name` is its key under `filters:`, `summary` what it looks for. `prepare` takes the configured options and returns the
    check, once for all pairs that are to be filtered; it may read files and raise ConfigError. It is None for a filter that
    looks only at what is `undecided`: at a task from which no pair could be made, which the checks of pairs never see.
    `only_revisions` limits the filter to recipes that revise the rejected answer. `whole_run` is for a check that compares
    pairs with each other: it sees those pairs of one recipe that no other filter drops, in the order of their tasks, and is
    prepared afresh for every recipe. `depends_on_others` is for one whose findings depend
    on more than the pair and its prompt: on files, or on the answers to other prompts. `reads_no_text` is for one that goes by
    the contrast, or by what is known besides, and finds the same in a pair whose texts it is not given.
    """

    name: str
    options: type[OptionsT]
    summary: str
    prepare: Callable[[OptionsT], Check] | None
    undecided: Callable[[Undecided], Fault | None] | None = None
    only_revisions: bool = False
    whole_run: bool = False
    depends_on_others: bool = False
    reads_no_text: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or hasattr(BaseModel, self.name) or self.name == "recipes":
            raise ValueError(
                f"{self.name!r} is not a name for a filter: use lower-case letters, digits and _, and no name of pydantic's, nor "
                "`recipes`, which is a key of the configuration"
            )

    def action(self, options: OptionsT, *, revises: bool) -> FilterAction | None:
        """What this filter does about what it finds; None when it does not look. `revises` is whether the recipe does."""
        return None if self.only_revisions and not revises else options.decide(revises=revises)


def always(check: Check) -> Callable[[FilterOptions], Check]:
    """For a filter whose check is the same whatever its options."""
    return lambda _options: check
