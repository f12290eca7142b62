"""Options of one filter, in the short and full forms in which a configuration may write them: its action, its bounds, or both."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from clairgen.records import FilterAction

Action: TypeAlias = Literal["drop", "mark", "off"]
Range: TypeAlias = tuple[float | None, float | None]
"""The lowest and the highest value that is kept; None is an open end."""


class FilterOptions(BaseModel):
    """What can be set for a filter. A filter's own options are a subclass, usually of `Switch`, `Marking` or `Bounds`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def decide(self, *, revises: bool) -> FilterAction | None:
        """What happens to a pair in which the filter finds something; None when it does not look.

        `revises` is whether the pair's recipe revises the rejected answer.
        """
        raise NotImplementedError

    @property
    def limits(self) -> str:
        """The options in words, to follow the filter's name, such as `0.5 to 2`; empty where there is nothing to say."""
        return ""

    def counted_from(self, folder: Path) -> Self:
        """The same options with relative paths counted from `folder`."""
        del folder
        return self

    @model_validator(mode="before")
    @classmethod
    def _full_form(cls, written: object) -> object:
        if isinstance(written, BaseModel):
            return written if isinstance(written, cls) else written.model_dump()
        # YAML 1.1 reads a bare `off` as false.
        if isinstance(written, str) or written is False:
            return {"action": written}
        return written if isinstance(written, Mapping) else cls._from_short_form(written)

    @classmethod
    def _from_short_form(cls, written: object) -> Mapping[str, object]:
        if cls.model_fields.keys() == {"action"}:
            raise ValueError(f"this filter has no bounds; write drop, mark or off, not {written!r}")
        raise ValueError(f"write drop, mark or off, or its options as a mapping, not {written!r}")

    @field_validator("action", mode="before", check_fields=False)
    @classmethod
    def _known_action(cls, action: object) -> object:
        action = "off" if action is False else action
        if action is not None and action not in ("drop", "mark", "off"):
            raise ValueError(f"a filter's action is drop, mark or off, not {action!r}")
        return action


class Switch(FilterOptions):
    """The action alone; the filter drops unless another action is configured."""

    action: Action = Field(
        default="drop", description="What to do with such a pair: drop it, mark it, or off: do not look."
    )

    def decide(self, *, revises: bool) -> FilterAction | None:
        """The configured action, whatever the recipe."""
        del revises
        return None if self.action == "off" else FilterAction(self.action)


class Marking(Switch):
    """The action alone; the filter goes by phrases or the like, so it only marks unless another action is configured."""

    action: Action = Field(
        default="mark", description="What to do with such a pair: drop it, mark it, or off: do not look."
    )


class Bounds(FilterOptions):
    """The bounds of a measure. Without bounds the filter does not look; with bounds alone it drops what is outside."""

    may_be_negative: ClassVar[bool] = False

    bounds: Range | None = Field(
        default=None, description="Lowest and highest value that is kept; null leaves an end open."
    )
    action: Action | None = Field(
        default=None, description="What to do with a pair outside the bounds: drop it, mark it, or off: do not look."
    )

    def decide(self, *, revises: bool) -> FilterAction | None:
        """The configured action; without one, drop if there are bounds."""
        del revises
        if self.action is None:
            return FilterAction.DROP if self.bounds else None
        return None if self.action == "off" else FilterAction(self.action)

    @property
    def limits(self) -> str:
        """The bounds in words."""
        low, high = self.bounds or (None, None)
        if low is None:
            return "" if high is None else f"at most {high:g}"
        return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"

    @classmethod
    def _from_short_form(cls, written: object) -> Mapping[str, object]:
        if isinstance(written, Sequence):
            return {"bounds": written}
        raise ValueError(f"write [lowest, highest], drop, mark, off or {{bounds: ..., action: ...}}, not {written!r}")

    @field_validator("bounds", mode="before")
    @classmethod
    def _ordered_numbers(cls, bounds: object) -> object:
        if bounds is None:
            return None
        if not isinstance(bounds, Sequence) or isinstance(bounds, str | bytes) or len(bounds) != 2:
            raise ValueError(f"bounds are written as [lowest, highest], not {bounds!r}")
        low, high = (_bound(bound, may_be_negative=cls.may_be_negative) for bound in bounds)
        if low is None and high is None:
            raise ValueError("one of the two bounds must be a number; write off to turn the filter off")
        if low is not None and high is not None and low > high:
            raise ValueError(f"the lowest value {low:g} is above the highest value {high:g}")
        return low, high

    @model_validator(mode="after")
    def _bounds_where_they_are_needed(self) -> Self:
        if self.bounds is None and self.action in ("drop", "mark"):
            raise ValueError(f"{self.action} needs bounds: {{bounds: [lowest, highest], action: ...}}")
        return self


def _bound(bound: object, *, may_be_negative: bool) -> float | None:
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        raise ValueError(f"a bound is a number or null, not {bound!r}")
    try:
        number = float(bound)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"a bound is a finite number, not {number}; write null to leave an end open")
    if number < 0 and not may_be_negative:
        raise ValueError(f"a bound is not negative, but {number:g} is")
    return number
